"""What a corrected file is like, collected while it is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibook.detectors.bad_pixels import INFORMATIONAL
from calibook.kernels.bits import ALL
from calibook.kernels.statistics import CorrectedStatistics, frame_sums

# Pixels with these bits measured no signal that a mean should contain.
_EXCLUDED = int(ALL) & ~int(INFORMATIONAL)
_BINS = 1400


class Tally:
    """Sums over the frames of one file; frames are added in their order.

    shape: of a frame, (slow_scan, fast_scan)
    ranges: (start, end) of the histogram of each gain stage, in the unit of the data
    """

    def __init__(self, shape: tuple[int, int], ranges: tuple[tuple[float, float], ...]):
        pixels = shape[0] * shape[1]
        self.shape = shape
        self.frames = 0
        self._statistics = CorrectedStatistics.zeros(pixels, _BINS, ranges)
        self._stage_sum = np.zeros(pixels, np.uint64)
        self._single = np.full(pixels, np.nan, np.float32)
        self._signals: list[np.ndarray] = []

    def add(self, data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> None:
        """Corrected frames: f4, u1, u4, each (frame, pixel)."""
        if self.frames == 0 and len(data):
            good = (mask[0] & np.uint32(_EXCLUDED)) == 0
            self._single = np.where(good, data[0], np.float32(np.nan))
        self._statistics.add(data, gain, mask, _EXCLUDED)
        self._stage_sum += gain.sum(axis=0, dtype=np.uint64)
        self.frames += len(data)
        sums, counts = frame_sums(data, mask, _EXCLUDED)
        with np.errstate(invalid="ignore"):
            self._signals.append(sums / counts)

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
        found = self._statistics
        samples = max(1, self.frames * len(found.total))
        steps = np.arange(_BINS + 1)
        return {
            "frames": self.frames,
            "mean": found.mean().astype(np.float32).reshape(self.shape),
            "single": self._single.reshape(self.shape),
            "gain_mean": (self._stage_sum / max(1, self.frames)).astype(np.float32).reshape(self.shape),
            "any_bits": found.any_bits.reshape(self.shape),
            "stage_counts": found.stages,
            "bit_counts": found.bad_bits,
            "bad_fraction": 1.0 - float(found.count.sum()) / samples,
            "histogram": found.histogram,
            "edges": found.bin_start[:, None] + steps * found.bin_width[:, None],
            "signals": np.concatenate(self._signals) if self._signals else np.zeros(0),
        }
