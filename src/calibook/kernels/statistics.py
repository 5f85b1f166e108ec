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
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.lanes import LARGEST
from calibook.kernels.packing import STAGES
from calibook.kernels.statistics_steps import FRAMES, SIDE_BY_SIDE, frame_step, frames_step, summed

WORD_BITS = 32
# Looked up: the compiler turns tests of a bit that it knows how to shift into slow shifts.
_BITS = np.uint32(1) << np.arange(WORD_BITS, dtype=np.uint32)


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
        start, per_width = (tuple(a.astype(np.float32)) for a in (self.bin_start, 1 / self.bin_width))
        near, some = (_chosen(*named, shape[:1]) for named in (("closely", closely), ("looked", looked)))
        frames = np.flatnonzero(some)
        of_pixels = self.total, self.count, self.any_bits, self.stage_sum
        of_frames = np.zeros((len(frames), SIDE_BY_SIDE)), np.zeros(len(frames), np.int64)
        of_stages = np.zeros((2, WIDE), np.uint32), np.zeros(WIDE, np.uint8)
        if not _add(
            data, gain, mask, frames, np.uint32(excluded), near, self.histogram, start, per_width,
            self.bad_bits, of_pixels, of_frames, of_stages,
        ):  # fmt: skip
            raise ValueError(f"gain stage {gain.max()}: needs 0 to {STAGES - 1}")
        total, last = of_stages[0].sum(axis=1, dtype=np.int64)
        self.stages[:] += len(frames) * shape[1] - total + last, total - 2 * last, last
        sums, counts = np.zeros(len(data)), np.zeros(len(data), np.int64)
        sums[frames], counts[frames] = of_frames[0].sum(axis=1), of_frames[1]
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
    data, gain, mask, frames, excluded, closely, histogram, start, per_width, bad_bits,
    of_pixels, of_frames, of_stages,
):  # fmt: skip
    """False, and sums that are of no use, if there is a gain stage that doesn't exist.

    of_pixels, of_frames, of_stages: arrays, see `statistics_steps`; of the frames that are added
    """
    pixels, packed = data.shape[1], frames.size // FRAMES * FRAMES
    firsts = frames.astype(np.uint64) * np.uint64(pixels)
    places = np.empty(min(TILE, pixels), np.int32)
    # All bins in a row, and one for values that aren't used.
    bins = np.zeros(histogram.size + 1, np.int64)
    for a in range(0, pixels, TILE):
        b = min(a + TILE, pixels)
        middle, k = b - (b - a) % WIDE, 0
        while k < frames.size:
            together = FRAMES if k < packed else 1
            samples, sums = (data, gain, mask, excluded), (of_pixels, of_frames, of_stages)
            _add_packed(*samples, firsts, k, together, a, middle, *sums)
            _add_lines(*samples, frames, k, together, middle, b, *sums)
            if of_stages[1].max() >= STAGES:
                return False
            for n in frames[k : k + together]:
                if closely[n]:
                    x, g, m = data[n, a:b], gain[n, a:b], mask[n, a:b]
                    _count_bits(m, bad_bits)
                    _place(x, g, m, excluded, start, per_width, histogram.shape[1], places[: b - a])
                    for place in places[: b - a]:
                        bins[np.uint64(place)] += 1
            k += together
    histogram += bins[:-1].reshape(histogram.shape)
    return True


@njit(nogil=True, cache=True)
def _add_packed(data, gain, mask, excluded, firsts, k, together, a, b, of_pixels, of_frames, of_stages):
    """The pixels a to b, a multiple of WIDE, of FRAMES frames from the k-th, or of one."""
    (total, count, any_bits, stage_sum), (sums, counts), (numbers, largest) = of_pixels, of_frames, of_stages
    samples = _address(data), _address(gain), _address(mask)
    to_pixels = _address(total), _address(count), _address(any_bits), _address(stage_sum)
    to_frames = _address(sums[k:]), _address(counts[k:])
    to_stages = _address(numbers[0]), _address(numbers[1]), _address(largest)
    begin = _address(firsts[k:])
    for i in range(np.uint64(b - a) // np.uint64(WIDE)):
        at = np.uint64(a) + i * np.uint64(WIDE)
        if together == FRAMES:
            frames_step(samples, begin, at, excluded, to_pixels, to_frames, to_stages)
        else:
            frame_step(samples, begin, at, excluded, to_pixels, to_frames, to_stages)


@njit(nogil=True, cache=True)
def _address(array):
    return np.uint64(array.ctypes.data)


@njit(nogil=True, cache=True)
def _add_lines(data, gain, mask, excluded, frames, k, together, a, b, of_pixels, of_frames, of_stages):
    """What the steps do, one by one."""
    (total, count, any_bits, stage_sum), (sums, counts), (numbers, largest) = of_pixels, of_frames, of_stages
    for j in range(k, k + together):
        n = frames[j]
        for i in range(a, b):
            g, word = gain[n, i], mask[n, i]
            value, used = summed(data[n, i], word, excluded)
            total[i] += value
            sums[j, 0] += value
            count[i] += np.int32(used)
            counts[j] += np.int64(used)
            any_bits[i] |= word
            stage_sum[i] += np.uint32(g)
            numbers[0, 0] += np.uint32(g)
            numbers[1, 0] += np.uint32(g >> np.uint8(1))
            largest[0] = max(largest[0], g)


@njit(nogil=True, cache=True)
def _count_bits(mask, bad_bits):
    """A pass for each bit that is there at all: mostly few."""
    union = np.uint32(0)
    for i in range(mask.size):
        union = np.uint32(union | mask[i])
    for bit in range(WORD_BITS):
        one = _BITS[bit]
        if union & one:
            count = np.int32(0)
            for i in range(mask.size):
                count = np.int32(count + np.int32((mask[i] & one) != 0))
            bad_bits[bit] += count


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
