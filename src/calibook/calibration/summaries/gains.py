"""What the results of flat fields and scans have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibook.detectors.bad_pixels import BadPixels
from calibook.procedures.tasks import Task
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


def largest(values: np.ndarray) -> float:
    """Of the finite values; NaN where there is none."""
    return float(np.nanmax(values)) if np.isfinite(values).any() else np.nan


def mean(values: np.ndarray) -> float:
    """Of the finite values; NaN where there is none."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
