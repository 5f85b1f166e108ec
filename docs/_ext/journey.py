"""The picture of the data's journey, drawn by matplotlib."""

from __future__ import annotations

import io
from typing import Any

_BOX: dict[str, Any] = {"boxstyle": "round,pad=0.02,rounding_size=0.08", "linewidth": 1.2}
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
_LINE = "#44546a"
_BLUE, _GREY, _GREEN = "#e3edf7", "#f3f3f3", "#e6f2e3"
# left, bottom, height, title, what is in it, colour
_BOXES = [
    (0.1, 1.7, 0.9, "dark runs", "one per gain stage", _GREY),
    (0.1, 0.3, 0.9, "raw run", "RAW-R0004-….h5", _GREY),
    (2.6, 1.7, 0.9, "dark.ipynb", "a task per module", _BLUE),
    (2.6, 0.3, 0.9, "correct.ipynb", "a task per raw file", _BLUE),
    (5.1, 1.7, 0.9, "constants", "in the store", _GREEN),
    (5.1, 0.3, 0.9, "corrected run", "CORR-….h5, records", _GREEN),
    (7.6, 0.3, 2.3, "reports", "verdict.json, PDF, HTML", _GREEN),
]
_WIDTH = 1.9
_ARROWS = [
    *(((left + _WIDTH, height), (left + 2.5, height)) for left in (0.1, 2.6, 5.1) for height in (0.75, 2.15)),
    ((5.3, 1.7), (4.3, 1.2)),
]


def contents() -> dict[str, str]:
    """The picture as SVG; the same bytes each time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    with matplotlib.rc_context({"svg.hashsalt": "calibook", "font.family": "DejaVu Sans"}):
        figure = plt.figure(figsize=(9.6, 2.9))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, 9.6), ylim=(0, 2.9))
        ax.axis("off")
        for left, bottom, height, title, text, colour in _BOXES:
            box = FancyBboxPatch((left, bottom), _WIDTH, height, facecolor=colour, edgecolor=_LINE, **_BOX)
            ax.add_patch(box)
            across, up = left + _WIDTH / 2, bottom + height / 2
            ax.text(across, up + 0.14, title, fontsize=12, weight="bold", **_CENTRED)
            ax.text(across, up - 0.18, text, fontsize=9.5, **_CENTRED)
        for start, end in _ARROWS:
            ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": _LINE, "lw": 1.4})
        ax.text(4.95, 1.42, "pinned in the plan", fontsize=9.5, ha="left", va="center", color=_LINE)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    return {"journey.svg": buffer.getvalue()}
