"""Tables of the verdict's figures, read from the functions that make them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rest import code, plain, table

from calibook.calibration.agipd.compare import CORRECTION_GOALS
from calibook.calibration.agipd.dark_results import DARK_GOALS, agipd_dark_figures
from calibook.calibration.agipd.flatfield_results import FLAT_FIELD_GOALS, flat_field_figures
from calibook.calibration.agipd.scan_results import SCAN_GOALS, scan_figures
from calibook.calibration.summaries.figures import correction_figures, dark_figures
from calibook.calibration.summaries.truth import truth_figures
from calibook.detectors.agipd import AGIPD
from calibook.detectors.base import Detector
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.jobs.finish import finish
from calibook.jobs.work import Work
from calibook.procedures.tasks import Plan, Task
from calibook.reports.verdict import Figure, Limits, Verdict
from calibook.simulation.compare import compare_darks, compare_photons

_START = "2025-01-01T00:00:00+00:00"


def contents() -> dict[str, str]:
    """A table for each source of figures."""
    return {
        "figures-correct.inc": _table(_of_corrections()),
        "figures-dark.inc": _table(dark_figures(JUNGFRAU, _darks(JUNGFRAU))),
        "figures-agipd-dark.inc": _table(_of_agipd_darks()),
        "figures-flatfield.inc": _table(flat_field_figures(_FLAT_FIELD)),
        "figures-pc.inc": _table(scan_figures(_SCAN)),
        "figures-truth.inc": _table(_of_truth()),
        "figures-request.inc": _table(_of_requests()),
    }


def _table(figures: Iterable[Figure]) -> str:
    rows = [[code(f.name), _meaning(f), plain(f.unit), _limits(f.warn), _limits(f.fail)] for f in figures]
    return table(["figure", "meaning", "unit", "warns", "fails"], rows, [25, 38, 5, 14, 18])


def _meaning(figure: Figure) -> str:
    # One figure says of how many trains; here they were made up.
    return plain(figure.meaning.removesuffix(", of 1"))


def _limits(limits: Limits) -> str:
    low, high = limits
    parts = ([f"<\N{NO-BREAK SPACE}{low:g}"] if low is not None else []) + (
        [f">\N{NO-BREAK SPACE}{high:g}"] if high is not None else []
    )
    return plain(", ".join(parts)) or "–"


def _of_corrections() -> list[Figure]:
    result = {
        "frames": 1,
        "module": 1,
        "train_ids": [1],
        "bad_fraction": 0.0,
        "bit_counts": np.zeros(32, int),
        "stage_counts": np.ones(3, int),
    }
    pinned = [{"calibration": name, "begin": _START} for name in JUNGFRAU.constants]
    return correction_figures(JUNGFRAU, Plan([], constants=pinned), {"task": result}, _START)


def _darks(detector: Detector) -> dict[str, dict[str, np.ndarray]]:
    """Results of darks with one memory cell and one chip."""
    stages = len(detector.gain_stages)
    names = ("good_offset", "good_noise", "bad_share", "offset_shift")
    result = {name: np.zeros((1, stages)) for name in names}
    result |= {"frames": np.ones(stages, int), "chip_bad": np.zeros((1, stages, 1))}
    return {"task": result | {"wrong_share": np.zeros(stages), "good_separation": np.ones((1, stages - 1))}}


def _of_agipd_darks() -> list[Figure]:
    """Those that other detectors don't have."""
    results = _darks(AGIPD)
    of_all = {figure.name for figure in dark_figures(AGIPD, results)}
    return [figure for figure in agipd_dark_figures(AGIPD, results, 5.0) if figure.name not in of_all]


def _typical(*names: str) -> dict[str, np.ndarray]:
    return {f"typical_{name}": np.ones(1) for name in names}


_FLAT_FIELD = {
    "task": _typical("gain", "spread", "error", "photons", "width", "deviance", "change")
    | {"frames": np.ones(1, int), "bad_share": np.zeros(1)}
}
_SCAN = {
    "task": _typical(
        "ratio",
        "spread",
        "error",
        "high_slope",
        "medium_slope",
        "high_deviation",
        "medium_deviation",
        "change",
    )
    | {"bad_share": np.zeros(1), "fewest_points": np.ones(2, int)}
}


class _Truth:
    """A module of one pixel, offset 1 and noise 1, nothing bad; axes (cell, gain, slow_scan, fast_scan)."""

    offset = noise = np.ones((1, 3, 1, 1))
    bad = np.zeros((1, 3, 1, 1), "u4")

    def stage(self, number: int) -> tuple[np.ndarray, ...]:
        return self.offset[:, number], self.noise[:, number], self.bad[:, number]


def _of_truth() -> list[Figure]:
    ones = np.ones((1, 3, 1, 1))
    names = [
        *compare_darks(_Truth(), ones, ones, 0 * ones),
        *compare_photons(ones[0], ones[0], np.ones((1, 1), bool)),
    ]
    thresholds = {name: goal for name, goal in DARK_GOALS.items() if name.startswith("threshold")}
    goals = {**thresholds, **FLAT_FIELD_GOALS, **SCAN_GOALS, **CORRECTION_GOALS}
    return truth_figures([{f"truth_{name}": 1.0 for name in (*names, *goals)}], goals)


def _of_requests() -> tuple[Figure, ...]:
    """What calibook adds to every verdict: from a request of which nothing was run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        procedure = {"name": "nothing", "title": "", "detector": "", "path": "", "blake3": ""}
        plan = Plan([Task("nothing")]).to_dict()
        (folder / "nothing.summary.ipynb").touch()
        done = finish(Work(folder, {"procedure": procedure, "plan": plan, "parameters": {}}), report=False)
        return Verdict.read(done.verdict).figures
