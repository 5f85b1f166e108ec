"""A picture of benchmarks/results.json; the documentation's page on speed shows one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calibook.files import read_json

_KERNELS = {"AGIPD": "agipd_kernel_vs_roof", "JUNGFRAU": "jungfrau_kernel_vs_roof"}
_COLORS = {1: "#4c78a8", 2: "#f58518"}


def draw(results_path: Path, picture: Path) -> None:
    """Bars of the stages of a file and, if they were measured, of the kernels against the memory's limit."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    results = read_json(results_path)
    ratios = {name: ratio for name, ratio in results["ratios"].items() if "_kernel_vs_roof" in name}
    # Ids in the file come from this, not from a random number.
    mpl.rcParams["svg.hashsalt"] = "calibook"
    figure = Figure(figsize=(9 if ratios else 5, 2.6), layout="constrained")
    axes = figure.subplots(1, 2 if ratios else 1, squeeze=False)[0]
    _stages(axes[0], results["stages_ns_per_pixel"])
    if ratios:
        _kernels(axes[1], ratios)
    FigureCanvasSVG(figure).print_svg(picture, metadata={"Date": None})


def _stages(axes: Any, stages: dict[str, float]) -> None:
    axes.barh(list(stages), list(stages.values()), color=_COLORS[1])
    axes.invert_yaxis()
    axes.set(title="Correcting a JUNGFRAU file", xlabel="processor time, ns per pixel")


def _kernels(axes: Any, ratios: dict[str, dict[str, float]]) -> None:
    for row, name in enumerate(_KERNELS.values()):
        for threads, color in _COLORS.items():
            if ratio := ratios.get(f"{name}_{threads}t"):
                spread = [[ratio["median"] - ratio["min"]], [ratio["max"] - ratio["median"]]]
                where = row + 0.2 * (2 * threads - 3)
                axes.barh(where, ratio["median"], 0.36, xerr=spread, color=color)
    axes.axvline(1, color="black", lw=1)
    axes.set(
        title="Kernels, 1 thread (blue) and 2", xlabel="of the memory's limit", yticks=range(len(_KERNELS))
    )
    axes.set_yticklabels(list(_KERNELS))
