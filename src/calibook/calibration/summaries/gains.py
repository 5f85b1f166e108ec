"""What the results of flat fields and scans have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibook.calibration.summaries.figures import Results
from calibook.detectors.bad_pixels import BadPixels
from calibook.procedures.tasks import Task
from calibook.reports.verdict import Figure
from calibook.simulation.compare import compare_gains
from calibook.simulation.truth_files import read_truth, truth_path

_QUANTILES = {"low": 0.05, "typical": 0.5, "high": 0.95}


def bit_counts(bad: np.ndarray) -> np.ndarray:
    """i8 (1, 32): pixels of all memory cells that have each bit."""
    return np.array([[int(((bad >> bit) & 1).sum()) for bit in range(32)]])


def pick_pixels(values: np.ndarray, bad: np.ndarray, bits: Sequence[BadPixels]) -> dict[str, int]:
    """Pixels worth a look, {title: number}: of low, typical and high value, and one for each bit.

    values, bad: f4, u4 (slow_scan, fast_scan)
    """
    flat, words, picked = values.ravel(), bad.ravel(), {}
    good = np.flatnonzero((words == 0) & np.isfinite(flat))
    if good.size:
        order = good[np.argsort(flat[good], kind="stable")]
        for name, share in _QUANTILES.items():
            picked[name] = int(order[int(share * (len(order) - 1))])
    for bit in bits:
        having = np.flatnonzero(words & np.uint32(bit))
        if having.size:
            picked[bit.name or ""] = int(having[len(having) // 2])
    at = {name: np.unravel_index(pixel, values.shape) for name, pixel in picked.items()}
    return {f"{name}: pixel {at[name][0]}, {at[name][1]}": pixel for name, pixel in picked.items()}


def true_module(in_folder: str, run: int, task: Task) -> Any:
    """The truth that a simulation left beside a module's run; None if there is none."""
    path = truth_path(in_folder, run, task.about["karabo_da"])
    return read_truth(path)[0] if path.is_file() else None


def gain_truth(
    name: str,
    truth: Any,
    true: np.ndarray,
    measured: np.ndarray,
    error: np.ndarray,
    bad: np.ndarray,
    truly_bad: np.ndarray,
) -> dict[str, float]:
    """Figures of one module, {"truth_" + name: value}.

    name: of what was measured, "gain" or "ratio"
    true, measured, error, bad: (cell, slow_scan, fast_scan)
    truly_bad: bool (slow_scan, fast_scan), those that have to be found

    Only pixels without any defect count for gains, see `compare_gains`; besides, precision and
    recall of bad pixels, over pixels and cells. To find one that has another defect is no error.
    """
    called, truly = bad != 0, np.broadcast_to(truly_bad, bad.shape)
    good = np.broadcast_to(truth.good_pixels(), bad.shape)
    figures = compare_gains(true, np.where(called, np.nan, measured), good, error)
    renamed = {f"truth_{key.replace('gain', name)}": value for key, value in figures.items()}
    return {
        **renamed,
        "truth_bad_pixel_precision": _share(called & ~good, called),
        "truth_bad_pixel_recall": _share(called & truly, truly),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else np.nan


def gain_change(
    measured: np.ndarray, previous: np.ndarray, bad: np.ndarray, shown: int
) -> dict[str, np.ndarray]:
    """How gains or ratios changed since an earlier constant, relative to that.

    measured, previous, bad: (cell, slow_scan, fast_scan); a constant may have one cell for all
    shown: memory cell whose map is shown

    change: f4 (slow_scan, fast_scan) of that cell; typical_change: f8 (cell,), medians
    over good pixels, NaN where there are none. Nothing if the cells are others.
    """
    if len({len(measured), len(previous)} - {1}) > 1:
        return {}
    with np.errstate(divide="ignore", invalid="ignore"):
        change = measured / previous - 1
    usable = (bad == 0) & np.isfinite(change)
    cells = zip(change, usable, strict=True)
    medians = [float(np.median(values[good])) if good.any() else np.nan for values, good in cells]
    map_ = change[min(shown, len(change) - 1)].astype(np.float32)
    return {"change": map_, "typical_change": np.array(medians)}


def change_figures(name: str, results: Results, limit: float) -> list[Figure]:
    """The largest median change, of all modules that `gain_change` has found one of.

    limit: relative change that is worth a look
    """
    medians = np.array([m for r in results.values() for m in r.get("typical_change", ()) if np.isfinite(m)])
    if not medians.size:
        return []
    worst = float(max(medians, key=abs))
    meaning = f"median {name} over that of the previous constant, minus 1, worst module and cell"
    return [Figure(f"{name}_change", worst, "", meaning, warn=(-limit, limit))]


def largest(values: np.ndarray) -> float:
    """Of the finite values; NaN where there is none."""
    return float(np.nanmax(values)) if np.isfinite(values).any() else np.nan


def mean(values: np.ndarray) -> float:
    """Of the finite values; NaN where there is none."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
