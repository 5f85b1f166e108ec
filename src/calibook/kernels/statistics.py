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

_LARGEST = np.float32(np.finfo(np.float32).max)


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
        bins = (self.histogram, tuple(self.bin_start), tuple(1.0 / self.bin_width))
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
    places = np.empty(min(TILE, pixels), np.int32)
    # All bins in a row, and one for values that aren't used.
    bins = np.zeros(histogram.size + 1, np.int64)
    for a in range(0, pixels, TILE):
        b = min(a + TILE, pixels)
        for n in range(data.shape[0]):
            x, g, m = data[n, a:b], gain[n, a:b], mask[n, a:b]
            _add_line(x, m, excluded, total[a:b], count[a:b], any_bits[a:b])
            _place_line(x, g, m, excluded, start, per_width, histogram.shape[1], places[: b - a])
            for place in places[: b - a]:
                bins[np.uint64(place)] += 1
            _count_bits(m, bad_bits)
            for stage in range(STAGES):
                stages[stage] += _count_equal(g, stage)
    histogram += bins[:-1].reshape(histogram.shape)


@njit(nogil=True, cache=True)
def _add_line(data, mask, excluded, total, count, any_bits):
    for i in range(data.size):
        used = (np.abs(data[i]) <= _LARGEST) & ((mask[i] & excluded) == 0)
        total[i] += np.float64(data[i] if used else np.float32(0))
        count[i] += np.int64(used)
        any_bits[i] |= mask[i]


@njit(nogil=True, cache=True)
def _place_line(data, gain, mask, excluded, start, per_width, row, places):
    """The place of each value among all bins; no branches, so that it vectorises."""
    s0, s1, s2 = start
    w0, w1, w2 = per_width
    for i in range(data.size):
        g, x = gain[i], np.float64(data[i])
        low, per = s1 if g > 0 else s0, w1 if g > 0 else w0
        low, per = s2 if g > 1 else low, w2 if g > 1 else per
        place = np.floor((x - low) * per) + 1.0
        # Limits come before the cast: a float out of an integer's range has no defined value.
        place = place if place > 0.0 else 0.0
        place = place if place < row - 1.0 else row - 1.0
        used = (np.abs(data[i]) <= _LARGEST) & ((mask[i] & excluded) == 0)
        places[i] = np.int32(np.int32(place) + np.int32(g * row)) if used else np.int32(STAGES * row)


@njit(nogil=True, cache=True)
def _count_bits(mask, bad_bits):
    """A pass for each bit that is there at all: mostly none or few."""
    union = np.uint32(0)
    for word in mask:
        union |= word
    for bit in range(WORD_BITS):
        if (union >> np.uint32(bit)) & np.uint32(1):
            count = np.int32(0)
            for word in mask:
                count = np.int32(count + np.int32((word >> np.uint32(bit)) & np.uint32(1)))
            bad_bits[bit] += count


@njit(nogil=True, cache=True)
def _count_equal(gain, stage):
    count = np.int32(0)
    for g in gain:
        count = np.int32(count + np.int32(g == stage))
    return count


def frame_sums(data: np.ndarray, mask: np.ndarray, excluded: int = bits.ALL) -> tuple[np.ndarray, np.ndarray]:
    """Sum (f8) and number (i8) of the values used in each frame, both (frame,).

    data, mask: f4, u4 (frame, pixel); a value is used if it is finite and has no excluded bit
    """
    check_array("data", data, "f4", np.shape(mask))
    check_array("mask", mask, "u4", np.shape(data))
    sums, counts = np.zeros(len(data)), np.zeros(len(data), np.int64)
    _frame_sums(data, mask, np.uint32(excluded), sums, counts)
    return sums, counts


@njit(nogil=True, cache=True)
def _frame_sums(data, mask, excluded, sums, counts):
    for n in range(data.shape[0]):
        total, count = 0.0, 0
        for i in range(data.shape[1]):
            if (mask[n, i] & excluded) == 0 and np.isfinite(data[n, i]):
                total += np.float64(data[n, i])
                count += 1
        sums[n], counts[n] = total, count
