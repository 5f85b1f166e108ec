"""What a corrected file is like, collected while it is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibook.detectors.bad_pixels import INFORMATIONAL
from calibook.kernels.bits import ALL
from calibook.kernels.statistics import CorrectedStatistics

# Pixels with these bits measured no signal that a mean should contain.
_EXCLUDED = int(ALL) & ~int(INFORMATIONAL)
_BINS = 1400
_CLOSELY = 1 << 25
"""Samples, about, of which histogram and shares of bits are made: a share of 1e-4 is then known to 2 %."""
_GOLDEN = 2654435769  # 2**32 over the golden ratio: multiples of it, modulo 2**32, lie evenly


class Tally:
    """Sums over some frames of a file; what tallies of its parts merge to doesn't depend on the parts.

    shape: of a frame, (slow_scan, fast_scan)
    ranges: (start, end) of the histogram of each gain stage, in the unit of the data
    frames: of the whole file
    """

    def __init__(self, shape: tuple[int, int], ranges: tuple[tuple[float, float], ...], frames: int):
        pixels = shape[0] * shape[1]
        self.shape = shape
        self._statistics = CorrectedStatistics.zeros(pixels, _BINS, ranges)
        self._single: np.ndarray | None = None
        self._sums, self._counts = np.zeros(frames), np.zeros(frames, np.int64)
        self._close = 0

    def add(self, places: np.ndarray, data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> None:
        """Corrected frames: f4, u1, u4, each (frame, pixel); places: their numbers in the file."""
        for n in np.flatnonzero(places == 0):
            good = (mask[n] & np.uint32(_EXCLUDED)) == 0
            self._single = np.where(good, data[n], np.float32(np.nan))
        closely = looked_at_closely(places, len(self._sums), len(self._statistics.total))
        self._close += int(np.count_nonzero(closely))
        self._sums[places], self._counts[places] = self._statistics.add(data, gain, mask, _EXCLUDED, closely)

    def merge(self, other: Tally) -> None:
        """Add what another tally found in other frames of the file."""
        self._statistics = self._statistics.merge(other._statistics)
        self._single = other._single if self._single is None else self._single
        self._sums += other._sums
        self._counts += other._counts
        self._close += other._close

    def results(self) -> dict[str, Any]:
        """What was collected, by name; maps are (slow_scan, fast_scan).

        mean: f4, mean signal of good pixels; single: f4, first frame
        gain_mean: f4, mean gain stage; any_bits: u4, bits set in any frame
        stage_counts: i8 (3,), samples by gain stage
        bit_counts: i8 (32,), samples with each bit of the mask; in long files
            as many as those of some frames tell
        bad_fraction: samples with a bit that is more than informational, of all
        histogram: i8 (3, bins + 2), of the same frames; edges: f8 (3, bins + 1)
        signals: f8 (frames,), mean signal of good pixels in each frame
        """
        found, frames = self._statistics, len(self._sums)
        samples = max(1, frames * len(found.total))
        steps = np.arange(_BINS + 1)
        single = np.full(len(found.total), np.nan, np.float32) if self._single is None else self._single
        with np.errstate(invalid="ignore"):
            signals = self._sums / self._counts
        return {
            "frames": frames,
            "mean": found.mean().astype(np.float32).reshape(self.shape),
            "single": single.reshape(self.shape),
            "gain_mean": (found.stage_sum / max(1, frames)).astype(np.float32).reshape(self.shape),
            "any_bits": found.any_bits.reshape(self.shape),
            "stage_counts": found.stages,
            "bit_counts": np.rint(found.bad_bits * (frames / max(1, self._close))).astype(np.int64),
            "bad_fraction": 1.0 - float(found.count.sum()) / samples,
            "histogram": found.histogram,
            "edges": found.bin_start[:, None] + steps * found.bin_width[:, None],
            "signals": signals,
        }


def looked_at_closely(places: np.ndarray, frames: int, pixels: int) -> np.ndarray:
    """Which frames of a file are looked at closely: all of a short one, else about 2^25 samples.

    places: numbers of frames in the file; frames: how many the file has; pixels: of a frame
    Returns bool (len(places),). The frames are spread evenly, but at no fixed
    distance: that could favour some memory cells.
    """
    share = _CLOSELY / max(1, frames * pixels)
    if share >= 1:
        return np.ones(len(places), bool)
    return (np.asarray(places, np.uint64) * np.uint64(_GOLDEN)) % np.uint64(1 << 32) < share * 2.0**32
