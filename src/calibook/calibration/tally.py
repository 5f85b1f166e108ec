"""What a corrected file is like, collected while it is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibook.detectors.bad_pixels import INFORMATIONAL
from calibook.kernels.bits import ALL
from calibook.kernels.packing import STAGES
from calibook.kernels.row_sums import row_sums
from calibook.kernels.statistics import CorrectedStatistics

# Pixels with these bits measured no signal that a mean should contain.
_EXCLUDED = int(ALL) & ~int(INFORMATIONAL)
_BINS = 1400
_SAMPLES = 1 << 26
"""Samples, about, that are looked at: frames of a file, spread over it."""
_CLOSELY = 1 << 23
"""Of those, for histogram and shares of bits: a share of 1e-4 is then known to 4 %."""
_EVERY_ROW = 8
"""Of frames that are not looked at, one row of so many tells the signal."""
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
        self._looked = self._close = 0

    def add(self, places: np.ndarray, data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> None:
        """Corrected frames: f4, u1, u4, each (frame, pixel); places: their numbers in the file."""
        for n in np.flatnonzero(places == 0):
            good = (mask[n] & np.uint32(_EXCLUDED)) == 0
            self._single = np.where(good, data[n], np.float32(np.nan))
        samples = len(self._sums) * len(self._statistics.total)
        looked, closely = (spread_evenly(places, number / samples) for number in (_SAMPLES, _CLOSELY))
        found = self._statistics.add(data, gain, mask, _EXCLUDED, closely, looked)
        if looked.all():
            self._sums[places], self._counts[places] = found
        else:
            rows = row_sums(data, mask, self.shape[1], _EVERY_ROW, _EXCLUDED)
            self._sums[places], self._counts[places] = rows
        self._looked += int(np.count_nonzero(looked))
        self._close += int(np.count_nonzero(looked & closely))

    def merge(self, other: Tally) -> None:
        """Add what another tally found in other frames of the file."""
        self._statistics = self._statistics.merge(other._statistics)
        self._single = other._single if self._single is None else self._single
        self._sums += other._sums
        self._counts += other._counts
        self._looked += other._looked
        self._close += other._close

    def results(self) -> dict[str, Any]:
        """What was collected, by name; maps are (slow_scan, fast_scan).

        Of short files all is of all frames. Long ones are looked at in part, in frames
        that are spread evenly over the file; what is counted there is scaled up.

        frames: of the whole file
        mean: f4, mean signal of good pixels; single: f4, first frame
        gain_mean: f4, mean gain stage; any_bits: u4, bits set in any frame looked at
        stage_counts: i8 (3,), samples by gain stage; bit_counts: i8 (32,), by bit of the mask
        bad_fraction: share of samples with a bit that is more than informational
        histogram: i8 (3, bins + 2), not scaled; edges: f8 (3, bins + 1)
        signals: f8 (frames,), mean signal of good pixels in each frame, looked at or not;
            in long files of one row of eight
        """
        found, frames = self._statistics, len(self._sums)
        looked = max(1, self._looked)
        steps = np.arange(_BINS + 1)
        single = np.full(len(found.total), np.nan, np.float32) if self._single is None else self._single
        with np.errstate(invalid="ignore"):
            signals = self._sums / self._counts
        return {
            "frames": frames,
            "mean": found.mean().astype(np.float32).reshape(self.shape),
            "single": single.reshape(self.shape),
            "gain_mean": (found.stage_sum / looked).astype(np.float32).reshape(self.shape),
            "any_bits": found.any_bits.reshape(self.shape),
            "stage_counts": np.rint(found.stages * (frames / looked)).astype(np.int64),
            "bit_counts": np.rint(found.bad_bits * (frames / max(1, self._close))).astype(np.int64),
            "bad_fraction": 1.0 - float(found.count.sum()) / (looked * len(found.total)),
            "histogram": found.histogram,
            "edges": found.bin_start[:, None] + steps * found.bin_width[:, None],
            "signals": signals,
        }


def warm_up(shape: tuple[int, int], data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> None:
    """Load the kernels that a tally uses, given some frames."""
    Tally(shape, ((0.0, 1.0),) * STAGES, len(data)).add(np.arange(len(data)), data, gain, mask)
    row_sums(data, mask, shape[1], _EVERY_ROW)


def spread_evenly(places: np.ndarray, share: float) -> np.ndarray:
    """Which frames are of that share of a file's, all if it is 1 or more: bool (len(places),).

    places: numbers of frames in the file

    They are spread evenly, but at no fixed distance: that could favour some
    memory cells. Those of a smaller share are among those of a larger one.
    """
    if share >= 1:
        return np.ones(len(places), bool)
    return (np.asarray(places, np.uint64) * np.uint64(_GOLDEN)) % np.uint64(1 << 32) < share * 2.0**32
