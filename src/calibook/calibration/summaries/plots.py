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

from calibook.calibration.summaries.places import (
    BAR,
    BAR_BELOW,
    BOTTOM,
    COUNTS,
    LOWEST_BAR,
    RIGHT,
    TITLE,
    TOP,
    WIDTH,
    add_bar,
    add_bar_below,
    add_legend,
    axes_of,
    wide_axes,
)
from calibook.detectors.base import Detector
from calibook.detectors.geometry import geometry_of

_DASHES = ("-", "--", ":", "-.")
_TALLEST, _SHORTEST_BAR, _BETWEEN_BARS = 2.9, 1.5, 0.5
"""Of pictures of the detector [inches]; numbers may be at the very ends of bars."""
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
        # None is cropped: everything has its place, and to measure what could go takes as long as to draw.
        set_matplotlib_formats("png", bbox_inches=None, pil_kwargs={"compress_level": 1})


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
    extent = (columns[0] - 0.5, columns[-1] + 0.5, rows[0] - 0.5, rows[-1] + 0.5)
    return {title: image[part] for title, image in images.items()}, extent


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
    images, extent = _assembled(detector, pictures, geometry_file)
    low, high = limits or middle(list(images.values()), log)
    norm = _log_norm(low, high) if log else plt.Normalize(low, high)
    size, room = _sizes(images, WIDTH - COUNTS - BAR)
    top = max(TITLE, LOWEST_BAR - size[1] + TOP)
    axes = _side_by_side(images, size, room, right=BAR, top=top)
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        # A logarithmic scale has no place for zero: such pixels get its lowest colour.
        shown = ax.imshow(np.maximum(image, low) if log else image, norm=norm, origin="lower", extent=extent)
        ax.set(title=title, xlabel="x [pixel]")
    add_bar(shown, label)
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
    images, extent = _assembled(detector, pictures, geometry_file)
    size, room = _sizes(images, WIDTH - COUNTS - RIGHT)
    bar = min(room - _BETWEEN_BARS, max(size[0], _SHORTEST_BAR))
    right = max(RIGHT, (bar - size[0] + _BETWEEN_BARS) / 2)
    axes = _side_by_side(images, size, room, right=right, bottom=BOTTOM + BAR_BELOW, top=TITLE)
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        low, high = middle([image], log=False)
        shown = ax.imshow(image, vmin=low, vmax=high, origin="lower", extent=extent)
        ax.set(title=title, xlabel="x [pixel]")
        add_bar_below(shown, label, bar)
    plt.show()


def _sizes(images: Mapping[str, np.ndarray], width: float) -> tuple[tuple[float, float], float]:
    """(width and height of axes for images of one shape, at one scale; room for each) [inches]."""
    rows, columns = next(iter(images.values())).shape
    room = width / len(images)
    scale = min((room - 0.3) / columns, _TALLEST / rows)
    return (columns * scale, rows * scale), room


def _side_by_side(
    images: Mapping[str, np.ndarray], size: tuple[float, float], room: float, **margins: float
) -> Sequence[Any]:
    """Axes for images of the detector."""
    gap = room - size[0], 0.0
    _, axes = axes_of(size, 1, len(images), gap=gap, left=COUNTS, sharey=True, **margins)
    axes[0, 0].set_ylabel("y [pixel]")
    return axes[0]


def plot_histograms(edges: np.ndarray, counts: Mapping[str, np.ndarray], xlabel: str) -> None:
    """Histograms as lines over common bin edges, counts on a logarithmic axis."""
    ax = wide_axes(3.0)
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
    _, ax = plt.subplots(figsize=(WIDTH, 2.8))  # matplotlib finds room for long names
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


def count_on_x(ax: Any) -> None:
    """Ticks of x at whole numbers: trains and memory cells have no halves."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def plot_lines(values: Mapping[str, np.ndarray], xlabel: str, ylabel: str) -> None:
    """Lines over their index, {label: (n,)}."""
    ax = wide_axes(2.4)
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
    ax = wide_axes(2.2)
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
