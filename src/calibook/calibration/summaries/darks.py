"""What the darks of a module leave for the summary: maps of one cell, figures of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from calibook.detectors.bad_pixels import BadPixels
from calibook.procedures.tasks import Task

SHOWN_CELL = 0
"""Memory cell whose maps are shown."""
_COMPARED = {"Offset": "offset", "Noise": "noise"}


class DarkMaps(Protocol):
    """Offset and noise, (cell, gain, slow_scan, fast_scan), ADU; frames of each gain stage's run."""

    @property
    def offset(self) -> np.ndarray: ...

    @property
    def noise(self) -> np.ndarray: ...

    @property
    def frames(self) -> tuple[int, ...]: ...


def dark_results(
    task: Task, darks: DarkMaps, bad: np.ndarray, previous: Mapping[str, np.ndarray], **more: Any
) -> dict[str, Any]:
    """Results of one module, by name.

    bad: u4 (cell, gain, slow_scan, fast_scan)
    previous: the constants before these, {calibration: same axes}; may be empty
    more: what else there is to tell

    offset, noise: f4 (gain, slow_scan, fast_scan) of the first memory cell, bad: u4 likewise
    good_offset, good_noise: f8 (cell, gain), medians over good pixels
    bad_share: f8 (cell, gain); bit_counts: i8 (gain, 32), pixels with each bit over all cells
    offset_change, noise_change: f4, this minus previous, as offset; only if there is a previous
    offset_shift: f8 (cell, gain), median of the change over good pixels
    """
    good = bad == 0
    results = {
        "module": task.about["module"],
        "unit": task.about["unit"],
        "frames": np.array(darks.frames),
        "offset": darks.offset[SHOWN_CELL].astype(np.float32),
        "noise": darks.noise[SHOWN_CELL].astype(np.float32),
        "bad": bad[SHOWN_CELL],
        "good_offset": medians_of(darks.offset, good),
        "good_noise": medians_of(darks.noise, good),
        "bad_share": 1.0 - good.mean(axis=(2, 3)),
        "bit_counts": _bit_counts(bad),
        **more,
    }
    for calibration in previous:
        for start, name in _COMPARED.items():
            if calibration.startswith(start):
                results |= _change(name, getattr(darks, name), previous[calibration], good)
    return results


def _change(name: str, now: np.ndarray, earlier: np.ndarray, good: np.ndarray) -> dict[str, np.ndarray]:
    if earlier.shape != now.shape:
        return {}
    change = np.subtract(now, earlier, dtype=now.dtype)
    return {
        f"{name}_change": change[SHOWN_CELL].astype(np.float32),
        f"{name}_shift": medians_of(change, good),
    }


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


def medians_of(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Medians over good pixels: f8 (cell, gain), NaN where no pixel is good.

    values, good: (cell, gain, slow_scan, fast_scan); good is bool
    """
    result = np.full(values.shape[:2], np.nan)
    for index in np.ndindex(result.shape):
        chosen = values[index][good[index] & np.isfinite(values[index])]
        if chosen.size:
            result[index] = np.median(chosen)
    return result


def _bit_counts(bad: np.ndarray) -> np.ndarray:
    """i8 (gain, 32): pixels of all cells that have each bit."""
    counts = np.zeros((bad.shape[1], 32), np.int64)
    any_bits = np.bitwise_or.reduce(bad, axis=(0, 2, 3))
    for stage, bit in zip(*np.nonzero((any_bits[:, None] >> np.arange(32)) & 1), strict=True):
        counts[stage, bit] = np.count_nonzero(bad[:, stage] & np.uint32(1 << bit))
    return counts
