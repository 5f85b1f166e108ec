"""Sums over dark frames, in whole numbers: exact, and the same in any order and division.

Each sample is a 14-bit integer, so its sums need no rounding: parts of a run
can be summed by any number of tasks and added up with identical bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from calibook.kernels import dark_steps
from calibook.kernels.cells import TILE, frames_by_cell
from calibook.kernels.checks import check_array
from calibook.kernels.dark_steps import FRAMES, PIXELS, counts_step, sums_step

ADC_MAX = np.int32(dark_steps.ADC_MAX)
MOST_FRAMES = (1 << 19) - 1
"""Samples of a pixel up to which the standard deviation is exact until its square root: n^2 times
the variance, which is at most 2^26, must stay below 2^64."""


@dataclass(frozen=True)
class DarkSums:
    """What is left of dark frames; arrays are (memory cell, pixel).

    count: u4, samples with the expected gain code; the next three are over those
    total: u8, sum of ADC values
    squares: u8, sum of their squares
    saturated: u4, samples at either end of the ADC's range
    wrong: u4, samples with another gain code
    """

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    saturated: np.ndarray
    wrong: np.ndarray

    @classmethod
    def zeros(cls, cells: int, pixels: int) -> DarkSums:
        types = (np.uint32, np.uint64, np.uint64, np.uint32, np.uint32)
        return cls(*(np.zeros((cells, pixels), t) for t in types))

    def merge(self, other: DarkSums) -> DarkSums:
        """The sums over both sets of frames."""
        return DarkSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def beside(cls, parts: Sequence[DarkSums]) -> DarkSums:
        """Sums over the pixels of all parts, in their order."""
        names = [f.name for f in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts], axis=1) for name in names))

    def accumulate(self, adc: np.ndarray, code: np.ndarray, cell: np.ndarray, expected_code: int) -> int:
        """Add frames.

        adc: u2 (frame, pixel), ADU; bits above the 14th are ignored
        code: u1 (frame, pixel), gain code; only `expected_code` is counted
        cell: integers (frame,), index into the first axis of the sums

        Returns how many frames had a cell that isn't there; they are left out.
        """
        cells, pixels = self.count.shape
        order, first, outside = checked_frames(adc, code, cell, cells, pixels)
        sums = (self.count, self.total, self.squares, self.saturated, self.wrong)
        _accumulate(adc, code, order, first, np.uint8(expected_code), *sums)
        return len(outside)

    def mean_and_std(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [ADU], f8; NaN where nothing was counted.

        std is that of the samples themselves (ddof 0, as NumPy's default):
        sqrt(n * sum of squares - sum^2) / n, with whole numbers under the root.
        Raises ValueError for more than MOST_FRAMES samples of a pixel.
        """
        if self.count.size and self.count.max() > MOST_FRAMES:
            raise ValueError(f"{self.count.max()} samples of a pixel; sums are exact up to {MOST_FRAMES}")
        mean, std = np.empty(self.count.shape), np.empty(self.count.shape)
        for c in range(len(mean)):
            _mean_and_std(self.count[c], self.total[c], self.squares[c], mean[c], std[c])
        return mean, std


def checked_frames(adc, code, cell, cells, pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`frames_by_cell` of dark frames, after a look at the arrays."""
    shape = (len(adc), pixels)
    check_array("adc", adc, "u2", shape)
    check_array("code", code, "u1", shape)
    if np.shape(cell) != shape[:1]:
        raise ValueError(f"cell has shape {np.shape(cell)}, needs {shape[:1]}: one index per frame")
    return frames_by_cell(cell, cells)


@njit(nogil=True, cache=True)
def _accumulate(adc, code, order, first, expected, count, total, squares, saturated, wrong):
    for c in range(first.size - 1):
        _add_cell(
            adc, code, order[first[c] : first[c + 1]], expected,
            count[c], total[c], squares[c], saturated[c], wrong[c],
        )  # fmt: skip


@njit(nogil=True, cache=True)
def _add_cell(adc, code, frames, expected, count, total, squares, saturated, wrong):
    rows = np.empty(2 * FRAMES, np.uint64)
    packed = frames.size // FRAMES * FRAMES
    # Until they are found to be wrong, all are right.
    count += np.uint32(frames.size)
    for a in range(0, count.size, TILE):
        b = min(a + TILE, count.size)
        middle = b - (b - a) % PIXELS
        for k in range(0, packed, FRAMES):
            _address_rows(adc, code, frames, k, a, rows)
            _add_packed(rows, a, middle, expected, count, total, squares, saturated, wrong)
        # What is left over: pixels, then frames.
        lines = adc, code, frames, expected, count, total, squares, saturated, wrong
        _add_lines(0, packed, middle, b, *lines)
        _add_lines(packed, frames.size, a, b, *lines)


@njit(nogil=True, cache=True)
def _address_rows(adc, code, frames, first, a, rows):
    """Where FRAMES frames from the first have pixel a, ADC values, then codes."""
    for i in range(FRAMES):
        pixel = np.uint64(frames[first + i]) * np.uint64(adc.shape[1]) + np.uint64(a)
        rows[i] = np.uint64(adc.ctypes.data) + np.uint64(2) * pixel
        rows[FRAMES + i] = np.uint64(code.ctypes.data) + pixel


@njit(nogil=True, cache=True)
def _add_packed(rows, a, b, expected, count, total, squares, saturated, wrong):
    """The pixels a to b, a multiple of PIXELS, of FRAMES frames: what `_add_lines` does."""
    start, place = np.uint64(a), np.uint64(rows.ctypes.data)
    for i in range(np.uint64(b - a) // np.uint64(PIXELS)):
        at = i * np.uint64(PIXELS)
        four = np.uint64(4) * (start + at)
        eight = np.uint64(2) * four
        to_total, to_squares = np.uint64(total.ctypes.data) + eight, np.uint64(squares.ctypes.data) + eight
        if sums_step(place, at, expected, to_total, to_squares):
            to_count, to_wrong = np.uint64(count.ctypes.data) + four, np.uint64(wrong.ctypes.data) + four
            to_saturated = np.uint64(saturated.ctypes.data) + four
            counts_step(place, at, expected, to_count, to_saturated, to_wrong)


@njit(nogil=True, cache=True)
def _add_lines(start, stop, a, b, adc, code, frames, expected, count, total, squares, saturated, wrong):
    """The pixels a to b of some of the frames."""
    for n in frames[start : stop if a < b else start]:
        _sum_line(adc[n, a:b], code[n, a:b], expected, total[a:b], squares[a:b])
        _count_line(adc[n, a:b], code[n, a:b], expected, count[a:b], saturated[a:b], wrong[a:b])


@njit(nogil=True, cache=True)
def _sum_line(adc, code, expected, total, squares):
    for p in range(adc.size):
        # A product, for a choice keeps some compilers' targets from packing the loop.
        x = np.uint32(np.uint32(adc[p] & ADC_MAX) * np.uint32(code[p] == expected))
        total[p] += np.uint64(x)
        squares[p] += np.uint64(x) * np.uint64(x)


@njit(nogil=True, cache=True)
def _count_line(adc, code, expected, count, saturated, wrong):
    for p in range(adc.size):
        right = code[p] == expected
        x = np.int32(adc[p] & ADC_MAX)
        count[p] -= np.uint32(not right)
        wrong[p] += np.uint32(not right)
        saturated[p] += np.uint32(right & ((x == 0) | (x == ADC_MAX)))


# NumPy's rule for division by zero, not Python's.
@njit(nogil=True, cache=True, error_model="numpy")
def _mean_and_std(count, total, squares, mean, std):
    for p in range(count.size):
        n = np.uint64(count[p])
        # Both terms may pass 2^64; their difference is right modulo 2^64, and it is below that.
        spread = n * squares[p] - total[p] * total[p]
        mean[p] = np.float64(total[p]) / np.float64(n)
        std[p] = np.sqrt(np.float64(spread)) / np.float64(n)
