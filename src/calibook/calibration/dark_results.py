"""What the darks of a module leave for the summary: maps of one cell, figures of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from calibook.calibration.darks import Darks
from calibook.detectors.bad_pixels import BadPixels
from calibook.procedures.tasks import Task

_SHOWN_CELL = 0


def dark_results(
    task: Task, darks: Darks, bad: np.ndarray, previous: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Results of one module, by name.

    bad: u4 (cell, gain, slow_scan, fast_scan)
    previous: the constants before these, {calibration: same axes}; may be empty

    offset, noise: f4 (gain, slow_scan, fast_scan) of the first memory cell, bad: u4 likewise
    good_offset, good_noise: f8 (cell, gain), medians over good pixels
    bad_share: f8 (cell, gain); bit_counts: i8 (gain, 32), pixels with each bit over all cells
    offset_change, noise_change: f4, this minus previous, as offset; only if there is a previous
    offset_shift: f8 (cell, gain), median of the change over good pixels
    """
    good = bad == 0
    wrong = darks.wrong.sum(axis=(0, 2, 3))
    results = {
        "module": task.about["module"],
        "unit": task.about["unit"],
        "frames": np.array(darks.frames),
        "offset": darks.offset[_SHOWN_CELL].astype(np.float32),
        "noise": darks.noise[_SHOWN_CELL].astype(np.float32),
        "bad": bad[_SHOWN_CELL],
        "good_offset": _medians(darks.offset, good),
        "good_noise": _medians(darks.noise, good),
        "bad_share": 1.0 - good.mean(axis=(2, 3)),
        "bit_counts": _bit_counts(bad),
        "wrong_share": wrong / np.maximum(1, wrong + darks.count.sum(axis=(0, 2, 3))),
    }
    for name, calibration in (("offset", "Offset10Hz"), ("noise", "Noise10Hz")):
        if calibration in previous and previous[calibration].shape == bad.shape:
            change = getattr(darks, name) - previous[calibration]
            results[f"{name}_change"] = change[_SHOWN_CELL].astype(np.float32)
            results[f"{name}_shift"] = _medians(change, good)
    return results


def bad_pixel_rows(
    result: Mapping[str, Any], stages: tuple[str, ...] = ("G0", "G1", "G2")
) -> list[dict[str, Any]]:
    """Rows of a table: pixels (over all memory cells) with each bit, by gain stage."""
    counts = result["bit_counts"]
    used = [bit for bit in BadPixels if counts[:, bit.bit_length() - 1].any()]
    return [
        {
            "unit": result["unit"],
            "bit": bit.name,
            **{stage: int(counts[s, bit.bit_length() - 1]) for s, stage in enumerate(stages)},
        }
        for bit in used
    ]


def _medians(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """f8 (cell, gain), NaN where no pixel is good."""
    result = np.full(values.shape[:2], np.nan)
    for index in np.ndindex(result.shape):
        chosen = values[index][good[index] & np.isfinite(values[index])]
        if chosen.size:
            result[index] = np.median(chosen)
    return result


def _bit_counts(bad: np.ndarray) -> np.ndarray:
    """i8 (gain, 32): pixels of all cells that have each bit."""
    return np.array([[int(((bad[:, s] >> bit) & 1).sum()) for bit in range(32)] for s in range(bad.shape[1])])
