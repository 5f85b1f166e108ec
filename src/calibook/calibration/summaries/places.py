"""Axes at given places. All lengths are in inches.

matplotlib can find out where everything fits, but then lays out and measures all text
several times: as long again as drawing the picture. Here there is room for the longest text
that an axis may have: numbers of eight characters, and its label.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

WIDTH = 6.7
"""Of a figure that fills a page."""
LEFT, RIGHT, BOTTOM, TOP = 0.97, 0.15, 0.45, 0.2
"""Beside axes. At the top is room for the power of ten of their numbers."""
COUNTS = 0.65
"""At the left, if y counts something: no number has more than five digits."""
TITLE = 0.3
"""At the top, for a title."""
BAR, BAR_BELOW = 1.15, 0.65
"""Of a colour bar, at the right, and at the bottom beside BOTTOM."""
LOWEST_BAR = 1.2
"""At the right of flatter axes a bar reaches above them, or its numbers would meet."""
MOST_INSIDE = 4
"""Entries of a legend inside the axes."""
_BAR_WIDTH, _BAR_GAP = 0.12, 0.08


def axes_of(
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    *,
    gap: tuple[float, float] = (0.3, 0.15),
    left: float = LEFT,
    right: float = RIGHT,
    bottom: float = BOTTOM,
    top: float = TOP,
    **more: Any,
) -> tuple[Any, np.ndarray]:
    """A figure and its axes (row, column), each of a size (width, height).

    gap: between columns, between rows
    more: for `plt.subplots`
    """
    width = left + columns * size[0] + (columns - 1) * gap[0] + right
    height = bottom + rows * size[1] + (rows - 1) * gap[1] + top
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="none", **more)
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=gap[0] / size[0],
        hspace=gap[1] / size[1],
    )
    return figure, axes


def wide_axes(height: float, *, left: float = LEFT, right: float = RIGHT) -> Any:
    """Axes in a figure of a height, as wide as the page."""
    _, axes = axes_of((WIDTH - left - right, height - BOTTOM - TOP), left=left, right=right)
    return axes[0, 0]


def add_bar(shown: Any, label: str) -> None:
    """A colour bar at the right of the axes of an image, where there is room for BAR."""
    _, _, wide, high = _inches(shown.axes)
    place = wide + _BAR_GAP, 0.0, _BAR_WIDTH, max(high, LOWEST_BAR)
    _add_bar(shown, label, place, "vertical")


def add_bar_below(shown: Any, label: str, width: float) -> None:
    """A colour bar of a width below an image and its x axis, where there is room for BAR_BELOW."""
    _, _, wide, _ = _inches(shown.axes)
    place = (wide - width) / 2, -BOTTOM - _BAR_WIDTH, width, _BAR_WIDTH
    _add_bar(shown, label, place, "horizontal")


def add_legend(ax: Any) -> None:
    """In the axes; beside them if it would hide what it explains."""
    entries = len(ax.get_legend_handles_labels()[1])
    if entries > MOST_INSIDE:
        columns = -(-entries // 16)
        legend = ax.figure.legend(
            loc="center right", frameon=False, fontsize=6.5, labelspacing=0.2, ncols=columns
        )
        ax.figure.subplots_adjust(right=1 - legend.get_window_extent().width / ax.figure.bbox.width)
    elif entries:
        ax.legend(frameon=False, ncols=2 if entries > 2 else 1)


def _add_bar(shown: Any, label: str, place: tuple[float, float, float, float], orientation: str) -> None:
    """place: left, bottom, width, height, counted from where the image's axes begin"""
    figure = shown.axes.figure
    left, bottom, _, _ = _inches(shown.axes)
    wide, high = figure.get_size_inches()
    x, y, width, height = place
    box = (left + x) / wide, (bottom + y) / high, width / wide, height / high
    figure.colorbar(shown, cax=figure.add_axes(box), label=label, orientation=orientation)


def _inches(ax: Any) -> tuple[float, float, float, float]:
    """Of axes: left, bottom, width, height."""
    wide, high = ax.figure.get_size_inches()
    left, bottom, width, height = ax.get_position().bounds
    return left * wide, bottom * high, width * wide, height * high
