"""What is worth keeping of corrected frames for a summary, collected in one pass."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.cells import TILE
from calibook.kernels.checks import check_array

STAGES = 3
WORD_BITS = 32


@dataclass(frozen=True)
class CorrectedStatistics:
    """Sums over corrected frames. A value is used if it is finite and has no excluded bit.

    total: f8 (pixel,), sum of the values used; its last bits depend on the
        order of additions, so add blocks, and merge, in the order of frames
    count: i8 (pixel,), number of values used
    any_bits: u4 (pixel,), bits that were set in at least one frame
    stages: i8 (3,), samples by gain stage, all of them
    bad_bits: i8 (32,), samples with each bit of the mask word, all of them
    bin_start, bin_width: f8 (3,), of the histogram of each gain stage
    histogram: i8 (3, bins + 2), values used by gain stage; bin i covers
        start + (i - 1) * width up to start + i * width, the first and the last
        bin are what lies below and above
    """

    total: np.ndarray
    count: np.ndarray
    any_bits: np.ndarray
    stages: np.ndarray
    bad_bits: np.ndarray
    histogram: np.ndarray
    bin_start: np.ndarray
    bin_width: np.ndarray

    @classmethod
    def zeros(cls, pixels: int, bins: int, ranges: tuple[tuple[float, float], ...]) -> CorrectedStatistics:
        """ranges: (start, end) of the histogram of each of the three gain stages."""
        start, end = np.array(ranges, np.float64).T
        if len(start) != STAGES or bins < 1 or not np.all(end > start):
            raise ValueError(f"{bins} bins in {ranges}: needs {STAGES} ranges (start, end), start below end")
        return cls(
            total=np.zeros(pixels, np.float64),
            count=np.zeros(pixels, np.int64),
            any_bits=np.zeros(pixels, np.uint32),
            stages=np.zeros(STAGES, np.int64),
            bad_bits=np.zeros(WORD_BITS, np.int64),
            histogram=np.zeros((STAGES, bins + 2), np.int64),
            bin_start=start,
            bin_width=(end - start) / bins,
        )

    def add(self, data: np.ndarray, gain: np.ndarray, mask: np.ndarray, excluded: int = bits.ALL) -> None:
        """Add corrected frames: f4, u1 (stages 0, 1, 2), u4, each (frame, pixel)."""
        shape = (len(data), len(self.total))
        check_array("data", data, "f4", shape)
        check_array("gain", gain, "u1", shape)
        check_array("mask", mask, "u4", shape)
        if gain.size and gain.max() >= STAGES:
            raise ValueError(f"gain stage {gain.max()}: needs 0 to {STAGES - 1}")
        bins = (self.histogram, self.bin_start, 1.0 / self.bin_width)
        sums = (self.total, self.count, self.any_bits, self.stages, self.bad_bits)
        _add(data, gain, mask, np.uint32(excluded), *bins, *sums)

    def merge(self, other: CorrectedStatistics) -> CorrectedStatistics:
        """The statistics of these frames followed by the other's; same pixels and bins."""
        for name in ("bin_start", "bin_width"):
            if not np.array_equal(getattr(self, name), getattr(other, name)):
                raise ValueError(f"statistics with different {name} can't be merged")
        merged = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return CorrectedStatistics(
            **{
                **merged,
                "any_bits": self.any_bits | other.any_bits,
                "bin_start": self.bin_start,
                "bin_width": self.bin_width,
            }
        )

    def mean(self) -> np.ndarray:
        """f8 (pixel,); NaN where no value was used."""
        with np.errstate(invalid="ignore"):
            return self.total / self.count


@njit(nogil=True, cache=True)
def _add(data, gain, mask, excluded, histogram, start, per_width, total, count, any_bits, stages, bad_bits):
    pixels = data.shape[1]
    for a in range(0, pixels, TILE):
        b = min(a + TILE, pixels)
        for n in range(data.shape[0]):
            x, g, m = data[n, a:b], gain[n, a:b], mask[n, a:b]
            _add_line(x, m, excluded, total[a:b], count[a:b], any_bits[a:b])
            _count_line(x, g, m, excluded, histogram, start, per_width, stages, bad_bits)


@njit(nogil=True, cache=True)
def _add_line(data, mask, excluded, total, count, any_bits):
    for i in range(data.size):
        used = np.isfinite(data[i]) & ((mask[i] & excluded) == 0)
        total[i] += np.float64(data[i] if used else np.float32(0))
        count[i] += np.int64(used)
        any_bits[i] |= mask[i]


@njit(nogil=True, cache=True)
def _count_line(data, gain, mask, excluded, histogram, start, per_width, stages, bad_bits):
    last = histogram.shape[1] - 1
    for i in range(data.size):
        g = gain[i]
        stages[g] += 1
        word = mask[i]
        if word != 0:
            for bit in range(WORD_BITS):
                bad_bits[bit] += np.int64((word >> np.uint32(bit)) & np.uint32(1))
        if (word & excluded) == 0 and np.isfinite(data[i]):
            # Limits come before the cast: a float out of an integer's range has no defined value.
            place = np.floor((np.float64(data[i]) - start[g]) * per_width[g]) + 1.0
            histogram[g, np.int64(min(max(place, 0.0), np.float64(last)))] += 1
