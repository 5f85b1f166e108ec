"""Sums over dark frames, in whole numbers: exact, and the same in any order and division.

Each sample is a 14-bit integer, so its sums need no rounding: parts of a run
can be summed by any number of tasks and added up with identical bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from calibook.kernels.cells import TILE, frames_by_cell
from calibook.kernels.checks import check_array

ADC_MAX = np.int32(0x3FFF)
MOST_FRAMES = (1 << 19) - 1
"""Samples of a pixel up to which the standard deviation is exact until its square root: n^2 times
the variance, which is at most 2^26, must stay below 2^64."""
GROUP = 16
"""Frames whose sums are held in 32 bits: 16 squares of 14-bit numbers just stay below 2^32."""


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
        n = self.count.astype(np.uint64)
        # Both terms may pass 2^64; their difference is right modulo 2^64, and it is below that.
        spread = n * self.squares - self.total * self.total
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / n, np.sqrt(spread.astype(np.float64)) / n


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
    pixels = adc.shape[1]
    part = np.zeros((3, min(TILE, pixels)), np.uint32)
    for c in range(first.size - 1):
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1], GROUP):
                frames = order[k : min(k + GROUP, first[c + 1])]
                part[:] = 0
                _add_group(adc, code, frames, a, b, expected, part)
                _flush_sums(part[0, : b - a], part[1, : b - a], total[c, a:b], squares[c, a:b])
                _flush_counts(
                    part[2, : b - a], np.uint32(frames.size), count[c, a:b], saturated[c, a:b], wrong[c, a:b]
                )


@njit(nogil=True, cache=True)
def _add_group(adc, code, frames, a, b, expected, part):
    fours = frames.size // 4 * 4
    total, squares, counts = part[0, : b - a], part[1, : b - a], part[2, : b - a]
    for k in range(0, fours, 4):
        i, j, m, n = frames[k], frames[k + 1], frames[k + 2], frames[k + 3]
        _add_four(
            adc[i, a:b], adc[j, a:b], adc[m, a:b], adc[n, a:b],
            code[i, a:b], code[j, a:b], code[m, a:b], code[n, a:b], expected, total, squares, counts,
        )  # fmt: skip
    for n in frames[fours:]:
        _add_one(adc[n, a:b], code[n, a:b], expected, total, squares, counts)


@njit(nogil=True, cache=True)
def _add_four(adc0, adc1, adc2, adc3, code0, code1, code2, code3, expected, total, squares, counts):
    """Four frames at a time, so that the sums, which are longer than a sample, move once for four."""
    for p in range(adc0.size):
        x0, n0 = _sample(adc0[p], code0[p], expected)
        x1, n1 = _sample(adc1[p], code1[p], expected)
        x2, n2 = _sample(adc2[p], code2[p], expected)
        x3, n3 = _sample(adc3[p], code3[p], expected)
        total[p] += np.uint32(x0 + x1 + x2 + x3)
        squares[p] += np.uint32(x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3)
        counts[p] += np.uint32(n0 + n1 + n2 + n3)


@njit(nogil=True, cache=True)
def _add_one(adc, code, expected, total, squares, counts):
    for p in range(adc.size):
        x, n = _sample(adc[p], code[p], expected)
        total[p] += np.uint32(x)
        squares[p] += np.uint32(x * x)
        counts[p] += np.uint32(n)


@njit(nogil=True, cache=True)
def _sample(adc, code, expected):
    """(ADC value, 1 + 65536 if it is at an end of the range); zeros if the gain code is another one."""
    right = code == expected
    x = np.int32(adc & ADC_MAX)
    saturated = right & ((x == 0) | (x == ADC_MAX))
    return (x if right else np.int32(0)), np.int32(right) + (np.int32(saturated) << 16)


@njit(nogil=True, cache=True)
def _flush_counts(counts, frames, count, saturated, wrong):
    for p in range(count.size):
        n = np.uint32(counts[p] & np.uint32(0xFFFF))
        count[p] += n
        wrong[p] += np.uint32(frames - n)
        saturated[p] += np.uint32(counts[p] >> np.uint32(16))


@njit(nogil=True, cache=True)
def _flush_sums(part_total, part_squares, total, squares):
    for p in range(total.size):
        total[p] += np.uint64(part_total[p])
        squares[p] += np.uint64(part_squares[p])
