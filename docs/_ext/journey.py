"""The picture of the data's journey, drawn by matplotlib."""

from __future__ import annotations

import io
from typing import Any

_BOX: dict[str, Any] = {"boxstyle": "round,pad=0.02,rounding_size=0.08", "linewidth": 1.2}
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
_LINE = "#44546a"
_BLUE, _GREY, _GREEN = "#e3edf7", "#f3f3f3", "#e6f2e3"
# left, bottom, width, title, what is in it, colour
_BOXES = [
    (0.1, 1.75, 2.0, "dark runs", "G0, G1, G2", _GREY),
    (0.1, 0.35, 2.0, "raw run", "RAW-R0004-…h5", _GREY),
    (2.95, 1.75, 2.0, "dark.ipynb", "a task per module", _BLUE),
    (2.95, 0.35, 2.0, "correct.ipynb", "a task per file", _BLUE),
    (5.8, 1.75, 2.0, "constants", "offset, noise, bad pixels, gain", _GREEN),
    (5.8, 0.35, 2.0, "corrected run", "CORR-R0004-…h5 + record", _GREEN),
    (8.65, 0.35, 2.0, "report", "verdict.json, PDF, HTML", _GREEN),
]
_ARROWS = [
    ((2.1, 2.2), (2.95, 2.2)),
    ((4.95, 2.2), (5.8, 2.2)),
    ((2.1, 0.8), (2.95, 0.8)),
    ((4.95, 0.8), (5.8, 0.8)),
    ((7.8, 0.8), (8.65, 0.8)),
    ((5.95, 1.75), (4.8, 1.25)),
    ((7.65, 1.75), (8.85, 1.25)),
]


def contents() -> dict[str, str]:
    """The picture as SVG; the same bytes each time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    with matplotlib.rc_context({"svg.hashsalt": "calibook", "font.family": "DejaVu Sans"}):
        figure = plt.figure(figsize=(10.8, 3.0))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, 10.8), ylim=(0, 3.0))
        ax.axis("off")
        for left, bottom, width, title, text, colour in _BOXES:
            box = FancyBboxPatch((left, bottom), width, 0.9, facecolor=colour, edgecolor=_LINE, **_BOX)
            ax.add_patch(box)
            middle = left + width / 2
            ax.text(middle, bottom + 0.58, title, fontsize=11, weight="bold", **_CENTRED)
            ax.text(middle, bottom + 0.26, text, fontsize=7.6, **_CENTRED)
        for start, end in _ARROWS:
            ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": _LINE, "lw": 1.4})
        ax.text(5.05, 1.58, "pinned in\nthe plan", fontsize=7.6, ha="right", va="center", color=_LINE)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    return {"journey.svg": buffer.getvalue()}
