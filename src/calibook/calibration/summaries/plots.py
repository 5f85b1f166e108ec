"""Pictures that the summaries of several procedures share.

All colour maps have monotonic lightness and all lines differ in their dashes,
so that a report printed in black and white still reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.core.getipython import get_ipython
from matplotlib_inline.backend_inline import set_matplotlib_formats

from calibook.detectors.base import Detector
from calibook.detectors.geometry import geometry_of

_DASHES = ("-", "--", ":", "-.")
MOST_INSIDE = 4
"""Entries of a legend inside the axes."""
_STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "image.interpolation": "nearest",
    "image.cmap": "viridis",
}


def use_style() -> None:
    """Make the plots of a notebook look like those of all others."""
    plt.rcParams.update(_STYLE)
    if get_ipython() is not None:
        # Pictures of pixels are noise: they hardly become smaller in several times the time.
        set_matplotlib_formats("png", pil_kwargs={"compress_level": 1})


def assemble(detector: Detector, images: Mapping[int, np.ndarray], geometry_file: str = "") -> np.ndarray:
    """The whole detector as one picture, NaN where there is no pixel.

    images: {module number as in its source name: (slow_scan, fast_scan)}
    geometry_file: CrystFEL geometry; empty for modules stacked by number
    Returns f4 (y, x), y upwards as EXtra-geom has it.
    """
    geometry, numbers = geometry_of(detector, images, geometry_file)
    stack = np.full((len(numbers), *detector.module_shape), np.nan, np.float32)
    for i, number in enumerate(numbers):
        if number in images:
            stack[i] = images[number]
    assembled, _ = geometry.position_modules(stack)
    return assembled


def _assembled(
    detector: Detector, pictures: Mapping[str, Mapping[int, np.ndarray]], geometry_file: str
) -> tuple[dict[str, np.ndarray], tuple[float, float, float, float]]:
    """Pictures of the part of the detector that has any values, and where it is: left, right, bottom, top."""
    images = {title: assemble(detector, modules, geometry_file) for title, modules in pictures.items()}
    known = np.any([np.isfinite(image) for image in images.values()], axis=0)
    if not known.any():
        known[:] = True
    rows, columns = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    place = (columns[0] - 0.5, columns[-1] + 0.5, rows[0] - 0.5, rows[-1] + 0.5)
    return {title: image[part] for title, image in images.items()}, place


def show_detector(
    detector: Detector,
    pictures: Mapping[str, Mapping[int, np.ndarray]],
    label: str,
    *,
    limits: tuple[float, float] | None = None,
    log: bool = False,
    geometry_file: str = "",
) -> None:
    """Pictures of the assembled detector side by side, with one colour scale.

    pictures: {title: {module: (slow_scan, fast_scan)}}
    label: quantity and unit of the colour bar, e.g. "mean [keV]"
    limits: colour scale; by default the middle 98 % of all values
    """
    images, place = _assembled(detector, pictures, geometry_file)
    low, high = limits or middle(list(images.values()), log)
    norm = _log_norm(low, high) if log else plt.Normalize(low, high)
    rows, columns = next(iter(images.values())).shape
    width = 6.7 / len(images)
    height = min(3.7, 0.9 + (width - 0.5) * rows / columns)
    figure, axes = plt.subplots(1, len(images), figsize=(6.7, height), squeeze=False, sharey=True)
    for ax, (title, image) in zip(axes[0], images.items(), strict=True):
        # A logarithmic scale has no place for zero: such pixels get its lowest colour.
        shown = ax.imshow(np.maximum(image, low) if log else image, norm=norm, origin="lower", extent=place)
        ax.set(title=title, xlabel="x [pixel]")
    axes[0, 0].set_ylabel("y [pixel]")
    figure.colorbar(shown, ax=axes[0].tolist(), label=label, shrink=0.85, pad=0.01)
    plt.show()


def show_maps(
    detector: Detector,
    pictures: Mapping[str, Mapping[int, np.ndarray]],
    label: str,
    *,
    geometry_file: str = "",
) -> None:
    """Pictures of the assembled detector side by side, each with a colour scale of its own.

    pictures: {title: {module: (slow_scan, fast_scan)}}, three or fewer
    label: quantity and unit of all colour bars
    """
    images, place = _assembled(detector, pictures, geometry_file)
    rows, columns = next(iter(images.values())).shape
    width = 6.7 / len(images)
    height = min(3.7, 1.0 + (width - 0.5) * rows / columns)
    figure, axes = plt.subplots(1, len(images), figsize=(6.7, height), squeeze=False, sharey=True)
    for ax, (title, image) in zip(axes[0], images.items(), strict=True):
        low, high = middle([image], log=False)
        shown = ax.imshow(image, vmin=low, vmax=high, origin="lower", extent=place)
        ax.set(title=title, xlabel="x [pixel]")
        figure.colorbar(shown, ax=ax, label=label, location="bottom", shrink=0.9, pad=0.02)
    axes[0, 0].set_ylabel("y [pixel]")
    plt.show()


def plot_histograms(edges: np.ndarray, counts: Mapping[str, np.ndarray], xlabel: str) -> None:
    """Histograms as lines over common bin edges, counts on a logarithmic axis."""
    _, ax = plt.subplots(figsize=(6.7, 3.0))
    for (label, values), dashes in zip(counts.items(), cycle(_DASHES), strict=False):
        if np.any(values):
            ax.stairs(
                values, edges, label=f"{label} ({int(np.sum(values)):,})", linestyle=dashes, linewidth=1.2
            )
    ax.set(yscale="log", xlabel=xlabel, ylabel="pixels x frames per bin")
    ax.legend(frameon=False)
    plt.show()


def plot_bars(values: Mapping[str, Mapping[str, float]], ylabel: str, log: bool = False) -> None:
    """Grouped bars: {series: {name: value}}, hatched so that the series differ without colour."""
    names = list(dict.fromkeys(name for series in values.values() for name in series))
    _, ax = plt.subplots(figsize=(6.7, 2.8))
    width = 0.8 / max(1, len(values))
    for i, ((label, series), hatch) in enumerate(
        zip(values.items(), cycle(("", "//", "..", "xx")), strict=False)
    ):
        heights = [series.get(name, 0.0) for name in names]
        x = np.arange(len(names)) + (i - (len(values) - 1) / 2) * width
        ax.bar(x, heights, width, label=label, hatch=hatch, edgecolor="black", linewidth=0.5)
    ax.set_xticks(
        range(len(names)),
        names,
        rotation=20 if len(names) > 3 else 0,
        ha="right" if len(names) > 3 else "center",
    )
    ax.set(ylabel=ylabel, yscale="log" if log else "linear")
    ax.legend(frameon=False)
    plt.show()


def add_legend(ax: Any) -> None:
    """In the axes; beside them if it would hide what it explains."""
    entries = len(ax.get_legend_handles_labels()[1])
    if entries > MOST_INSIDE:
        columns = -(-entries // 16)
        ax.figure.legend(
            loc="outside right center", frameon=False, fontsize=6.5, labelspacing=0.2, ncols=columns
        )
    elif entries:
        ax.legend(frameon=False, ncols=2 if entries > 2 else 1)


def count_on_x(ax: Any) -> None:
    """Ticks of x at whole numbers: trains and memory cells have no halves."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def plot_lines(values: Mapping[str, np.ndarray], xlabel: str, ylabel: str) -> None:
    """Lines over their index, {label: (n,)}."""
    _, ax = plt.subplots(figsize=(6.7, 2.4))
    for (label, line), dashes in zip(values.items(), cycle(_DASHES), strict=False):
        ax.plot(np.arange(len(line)), line, label=label, linestyle=dashes, marker=".", markersize=3)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    count_on_x(ax)
    add_legend(ax)
    plt.show()


def plot_distributions(values: Mapping[str, np.ndarray], xlabel: str) -> None:
    """Histograms of sets of values over common bins: the middle 99.8 %, {label: values}."""
    everything = np.concatenate([v[np.isfinite(v)] for v in values.values()])
    low, high = np.percentile(everything, [0.1, 99.9]) if everything.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1.0, 120)
    _, ax = plt.subplots(figsize=(6.7, 2.2))
    for (label, v), dashes in zip(values.items(), cycle(_DASHES), strict=False):
        ax.stairs(np.histogram(v, edges)[0], edges, label=label, linestyle=dashes, linewidth=1.2)
    ax.set(xlabel=xlabel, ylabel="pixels per bin")
    add_legend(ax)
    plt.show()


def table_of(rows: Sequence[Mapping[str, Any]], index: str):
    """A pandas table for display, one row per mapping."""
    import pandas as pd

    return pd.DataFrame(list(rows)).set_index(index).rename_axis(index=None, columns=index)


def middle(images: Sequence[np.ndarray], log: bool) -> tuple[float, float]:
    """Range of the middle 98 % of all finite (for a log scale, positive) values."""
    values = np.concatenate([image[np.isfinite(image)] for image in images])
    if log:
        values = values[values > 0]
    if not values.size:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = np.percentile(values, [1, 99])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _log_norm(low: float, high: float):
    from matplotlib.colors import LogNorm

    low = max(low, 1e-6)
    return LogNorm(low, max(high, 10 * low))
