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

    def add(self, places: np.ndarray, data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> None:
        """Corrected frames: f4, u1, u4, each (frame, pixel); places: their numbers in the file."""
        for n in np.flatnonzero(places == 0):
            good = (mask[n] & np.uint32(_EXCLUDED)) == 0
            self._single = np.where(good, data[n], np.float32(np.nan))
        self._sums[places], self._counts[places] = self._statistics.add(data, gain, mask, _EXCLUDED)

    def merge(self, other: Tally) -> None:
        """Add what another tally found in other frames of the file."""
        self._statistics = self._statistics.merge(other._statistics)
        self._single = other._single if self._single is None else self._single
        self._sums += other._sums
        self._counts += other._counts

    def results(self) -> dict[str, Any]:
        """What was collected, by name; maps are (slow_scan, fast_scan).

        mean: f4, mean signal of good pixels; single: f4, first frame
        gain_mean: f4, mean gain stage; any_bits: u4, bits set in any frame
        stage_counts: i8 (3,), samples by gain stage
        bit_counts: i8 (32,), samples with each bit of the mask
        bad_fraction: samples with a bit that is more than informational, of all
        histogram: i8 (3, bins + 2), edges: f8 (3, bins + 1)
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
            "bit_counts": found.bad_bits,
            "bad_fraction": 1.0 - float(found.count.sum()) / samples,
            "histogram": found.histogram,
            "edges": found.bin_start[:, None] + steps * found.bin_width[:, None],
            "signals": signals,
        }
