"""Pictures of AGIPD's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from calibook.calibration.summaries.places import (
    BAR,
    COUNTS,
    TITLE,
    WIDTH,
    add_bar,
    add_legend,
    axes_of,
    wide_axes,
)
from calibook.calibration.summaries.plots import count_on_x, middle
from calibook.kernels.frame_samples import PLANE_BIN_WIDTH


def show_module(pictures: Mapping[str, np.ndarray], title: str) -> None:
    """Pictures of one module below each other, slow_scan to the right, each with a colour scale of its own.

    pictures: {label of the colour bar: (slow_scan, fast_scan)}
    """
    size = WIDTH - COUNTS - BAR, 1.3
    _, axes = axes_of(size, len(pictures), left=COUNTS, right=BAR, top=TITLE, sharex=True)
    for ax, (label, image) in zip(axes[:, 0], pictures.items(), strict=True):
        low, high = middle([image], log=False)
        shown = ax.imshow(image.T, vmin=low, vmax=high, origin="lower", aspect="auto")
        ax.set(ylabel="fast scan", yticks=range(0, len(image.T), 50))
        add_bar(shown, label)
    ax.set(xlabel="slow scan [pixel]")
    axes[0, 0].set_title(title)
    plt.show()


def plot_planes(planes: np.ndarray) -> None:
    """Samples by signal plane and gain plane, as `kernels.frame_samples.add_planes` counts them."""
    from matplotlib.colors import LogNorm

    rows, columns = (np.flatnonzero(planes.sum(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    part = planes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    left, right, low, high = (
        float(PLANE_BIN_WIDTH * edge) for edge in (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1)
    )
    ax = wide_axes(3.2, right=BAR)
    shown = ax.imshow(
        np.where(part > 0, part, np.nan),
        extent=(left, right, low, high),
        origin="lower",
        aspect="auto",
        norm=LogNorm(),
    )
    ax.set(xlabel="signal plane [ADU]", ylabel="gain plane [ADU]")
    add_bar(shown, "pixels x frames")
    plt.show()


def show_table(
    values: np.ndarray,
    xlabel: str,
    ylabel: str,
    label: str,
    x: np.ndarray | None = None,
    groups: Sequence[Any] = (),
) -> None:
    """A table (y, x) as a picture.

    x: what the columns are, if they don't count from 0
    groups: names of groups of rows, all of one size, which are set apart from each other
    """
    low, high = middle([values], log=False)
    ax = wide_axes(2.6 if len(groups) < 6 else 3.6, left=COUNTS, right=BAR)
    shown = ax.imshow(values, vmin=low, vmax=high, aspect="auto", origin="lower", interpolation="nearest")
    if x is not None:
        ticks = np.unique(np.linspace(0, len(x) - 1, 9).round().astype(int))
        ax.set_xticks(ticks, [str(x[tick]) for tick in ticks])
    else:
        count_on_x(ax)
    if len(groups):
        edges = np.linspace(0, len(values), len(groups) + 1) - 0.5
        ax.set_yticks((edges[1:] + edges[:-1]) / 2, [str(name) for name in groups])
        ax.tick_params(axis="y", length=0)
        for edge in edges[1:-1]:
            ax.axhline(edge, color="white", linewidth=0.8)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    add_bar(shown, label)
    plt.show()


def plot_cells(values: Mapping[str, tuple[np.ndarray, np.ndarray]], ylabel: str) -> None:
    """Lines over memory cells, {label: (cells, values)}."""
    from itertools import cycle

    ax = wide_axes(2.4)
    for (label, (cells, line)), dashes in zip(values.items(), cycle(("-", "--", ":", "-.")), strict=False):
        ax.plot(cells, line, label=label, linestyle=dashes, marker=".", markersize=3)
    ax.set(xlabel="memory cell", ylabel=ylabel)
    count_on_x(ax)
    add_legend(ax)
    plt.show()
