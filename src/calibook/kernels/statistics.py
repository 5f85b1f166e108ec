"""What is worth keeping of corrected frames for a summary, collected in one pass.

All sums are exact, so frames may be added in any order, by any number of
threads, with identical results.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.cells import TILE
from calibook.kernels.checks import check_array
from calibook.kernels.lanes import LARGEST

STAGES = 3
WORD_BITS = 32

STEP = np.float32(2.0**-16)
"""Values are rounded to multiples of it before they are summed. 2^37 of the data's unit, e.g. ten
million frames of 10 MeV in keV, then fit into the 53 bits of f8 without rounding again."""
LIMIT = np.float32(2.0**24)
"""Values beyond are summed as if they were this large."""
# Looked up: the compiler turns tests of a bit that it knows how to shift into slow shifts.
_BITS = np.uint32(1) << np.arange(WORD_BITS, dtype=np.uint32)
_PER_STEP = np.float32(1 / STEP)


@dataclass(frozen=True)
class CorrectedStatistics:
    """Sums over corrected frames. A value is used if it is finite and has no excluded bit.

    total: f8 (pixel,), sum of the values used, each rounded to a multiple of STEP
    count: i4 (pixel,), number of values used
    any_bits: u4 (pixel,), bits that were set in at least one frame
    stage_sum: u4 (pixel,), sum of the gain stages
    stages: i8 (3,), samples by gain stage, all of them
    bad_bits: i8 (32,), samples with each bit of the mask word, of the frames looked at closely
    bin_start, bin_width: f8 (3,), of the histogram of each gain stage
    histogram: i8 (3, bins + 2), values used by gain stage, of the frames looked at
        closely; bin i covers start + (i - 1) * width up to start + i * width (in f4),
        the first and the last bin are what lies below and above
    """

    total: np.ndarray
    count: np.ndarray
    any_bits: np.ndarray
    stage_sum: np.ndarray
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
            count=np.zeros(pixels, np.int32),
            any_bits=np.zeros(pixels, np.uint32),
            stage_sum=np.zeros(pixels, np.uint32),
            stages=np.zeros(STAGES, np.int64),
            bad_bits=np.zeros(WORD_BITS, np.int64),
            histogram=np.zeros((STAGES, bins + 2), np.int64),
            bin_start=start,
            bin_width=(end - start) / bins,
        )

    def add(
        self,
        data: np.ndarray,
        gain: np.ndarray,
        mask: np.ndarray,
        excluded: int = bits.ALL,
        closely: np.ndarray | None = None,
        looked: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add corrected frames: f4, u1 (stages 0, 1, 2), u4, each (frame, pixel).

        closely: bool (frame,), which are counted in histogram and bad_bits too, for
            that takes several times as long as all the rest; None for all
        looked: bool (frame,), which are added at all; None for all. A call for many frames
            fetches the sums of a pixel once for all of them

        Returns the sum (f8) and the number (i8) of the values used in each frame, both (frame,);
        0 for frames that are not added.
        """
        shape = (len(data), len(self.total))
        check_array("data", data, "f4", shape)
        check_array("gain", gain, "u1", shape)
        check_array("mask", mask, "u4", shape)
        sums, counts = np.zeros(len(data)), np.zeros(len(data), np.int64)
        start, per_width = (tuple(a.astype(np.float32)) for a in (self.bin_start, 1 / self.bin_width))
        near, some = (_chosen(*named, shape[:1]) for named in (("closely", closely), ("looked", looked)))
        if not _add(
            data, gain, mask, np.flatnonzero(some), np.uint32(excluded), near, self.histogram, start,
            per_width, self.total, self.count, self.any_bits, self.stage_sum, self.stages, self.bad_bits,
            sums, counts,
        ):  # fmt: skip
            raise ValueError(f"gain stage {gain.max()}: needs 0 to {STAGES - 1}")
        return sums, counts

    def merge(self, other: CorrectedStatistics) -> CorrectedStatistics:
        """The statistics of both sets of frames; same pixels and bins."""
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


def _chosen(name: str, choice: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    chosen = np.ones(shape, bool) if choice is None else np.ascontiguousarray(choice, bool)
    if chosen.shape != shape:
        raise ValueError(f"{name} has shape {chosen.shape}, needs {shape}")
    return chosen


@njit(nogil=True, cache=True)
def _add(
    data, gain, mask, frames, excluded, closely, histogram, start, per_width,
    total, count, any_bits, stage_sum, stages, bad_bits, sums, counts,
):  # fmt: skip
    """False, and sums that are of no use, if there is a gain stage that doesn't exist."""
    pixels = data.shape[1]
    values = np.empty(min(TILE, pixels), np.float32)
    places = np.empty(min(TILE, pixels), np.int32)
    # All bins in a row, and one for values that aren't used.
    bins = np.zeros(histogram.size + 1, np.int64)
    for a in range(0, pixels, TILE):
        b = min(a + TILE, pixels)
        for n in frames:
            x, g, m = data[n, a:b], gain[n, a:b], mask[n, a:b]
            used, union = _select(x, m, excluded, values[: b - a], count[a:b], any_bits[a:b])
            counts[n] += used
            sums[n] += _add_values(values[: b - a], total[a:b])
            if not _count_stages(g, stage_sum[a:b], stages):
                return False
            if not closely[n]:
                continue
            if union:
                _count_bits(m, union, bad_bits)
            _place(x, g, m, excluded, start, per_width, histogram.shape[1], places[: b - a])
            for place in places[: b - a]:
                bins[np.uint64(place)] += 1
    histogram += bins[:-1].reshape(histogram.shape)
    return True


@njit(nogil=True, cache=True)
def _select(data, mask, excluded, values, count, any_bits):
    """Rounded values, 0 where they aren't used; returns how many are, and all bits of the mask."""
    number, union = np.int32(0), np.uint32(0)
    for i in range(data.size):
        x, word = data[i], mask[i]
        used = (np.abs(x) <= LARGEST) & ((word & excluded) == 0)
        x = min(max(x, -LIMIT), LIMIT)
        values[i] = np.rint(x * _PER_STEP) * STEP if used else np.float32(0)
        count[i] += np.int32(used)
        any_bits[i] |= word
        number = np.int32(number + np.int32(used))
        union = np.uint32(union | word)
    return number, union


# The values are such that sums are exact, so their order may be what the compiler likes best.
@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _add_values(values, total):
    """Add to the totals; returns the sum of the values."""
    found = 0.0
    for i in range(values.size):
        value = np.float64(values[i])
        total[i] += value
        found += value
    return found


@njit(nogil=True, cache=True)
def _count_bits(mask, union, bad_bits):
    """A pass for each bit that is there at all: mostly few."""
    for bit in range(WORD_BITS):
        one = _BITS[bit]
        if union & one:
            count = np.int32(0)
            for i in range(mask.size):
                count = np.int32(count + np.int32((mask[i] & one) != 0))
            bad_bits[bit] += count


@njit(nogil=True, cache=True)
def _count_stages(gain, stage_sum, stages):
    """Samples by gain stage; most lines have but the first. False if there is another than three."""
    any_stage = np.uint8(0)
    for g in gain:
        any_stage = np.uint8(any_stage | g)
    if any_stage == 0:
        stages[0] += gain.size
        return True
    first, second = np.int32(0), np.int32(0)
    for i in range(gain.size):
        g = gain[i]
        stage_sum[i] += np.uint32(g)
        first = np.int32(first + np.int32(g == 1))
        second = np.int32(second + np.int32(g == 2))
    stages[0] += gain.size - first - second
    stages[1] += first
    stages[2] += second
    return gain.max() < STAGES


@njit(nogil=True, cache=True)
def _place(data, gain, mask, excluded, start, per_width, row, places):
    """The place of each value among all bins; no branches, so that it vectorises."""
    s0, s1, s2 = start
    w0, w1, w2 = per_width
    last, nowhere = np.float32(row - 1), np.int32(STAGES * row)
    for i in range(data.size):
        g, x, word = gain[i], data[i], mask[i]
        low, per = s1 if g > 0 else s0, w1 if g > 0 else w0
        low, per = s2 if g > 1 else low, w2 if g > 1 else per
        place = np.floor((x - low) * per) + np.float32(1)
        # Limits come before the cast: a float out of an integer's range has no defined value.
        place = place if place > 0 else np.float32(0)
        place = place if place < last else last
        used = (np.abs(x) <= LARGEST) & ((word & excluded) == 0)
        places[i] = np.int32(np.int32(place) + np.int32(g) * np.int32(row)) if used else nowhere
