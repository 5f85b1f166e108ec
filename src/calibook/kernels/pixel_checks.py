"""Pixels that a file itself shows to be bad, or to be mended: stuck ones, noisy ADCs, false gain stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels import bits
from calibook.kernels.cells import TILE, frames_by_cell
from calibook.kernels.checks import check_array, check_blocks


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest raw signal: u2 (cell, pixel); 0xFFFF and 0 where there was no frame.

    A standard deviation is zero exactly if the two are equal.
    """

    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def none(cls, cells: int, pixels: int) -> Extremes:
        return cls(np.full((cells, pixels), 0xFFFF, np.uint16), np.zeros((cells, pixels), np.uint16))

    def add(self, raw: np.ndarray, cell: np.ndarray) -> None:
        """Look at frames: u2 (frame, planes, pixel), signal first; frames of unknown cells are left out."""
        cells, pixels = self.lowest.shape
        check_array("raw", raw, "u2", (len(raw), raw.shape[1], pixels))
        if np.shape(cell) != raw.shape[:1]:
            raise ValueError(f"cell has shape {np.shape(cell)}, needs {raw.shape[:1]}: one index per frame")
        order, first, _ = frames_by_cell(cell, cells)
        _extremes(raw, order, first, self.lowest, self.highest)

    def merge(self, other: Extremes) -> Extremes:
        """The extremes over both sets of frames."""
        return Extremes(np.minimum(self.lowest, other.lowest), np.maximum(self.highest, other.highest))

    def constant(self) -> np.ndarray:
        """Pixels whose signal never changed, bool (cell, pixel); None if there was no frame."""
        return self.lowest == self.highest


@njit(nogil=True, cache=True)
def _extremes(raw, order, first, lowest, highest):
    pixels = lowest.shape[1]
    for c in range(first.size - 1):
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1]):
                _extremes_line(raw[order[k], 0, a:b], lowest[c, a:b], highest[c, a:b])


@njit(nogil=True, cache=True)
def _extremes_line(adc, lowest, highest):
    for i in range(adc.size):
        lowest[i] = min(lowest[i], adc[i])
        highest[i] = max(highest[i], adc[i])


def noisy_blocks(
    words: np.ndarray, block: tuple[int, int], noise_bits: int, fraction: float = 0.25
) -> np.ndarray:
    """Pixels of blocks with too many noisy ones, bool of the shape of words.

    words: u4 (..., slow_scan, fast_scan), bad-pixel words of darks
    block: (slow_scan, fast_scan), pixels that one ADC reads
    noise_bits: bits that mean noisy, e.g. offset or noise out of limits
    fraction: a block with a larger share of them is noisy as a whole

    The rule and 0.25 are European XFEL's. Raises BadParameter if blocks don't tile the module.
    """
    *outer, slow, fast = words.shape
    check_blocks(block, (slow, fast))
    if not 0 <= fraction <= 1:
        raise BadParameter(f"fraction of noisy pixels is {fraction}, needs 0 to 1")
    noisy = (words & np.uint32(noise_bits)) != 0
    blocks = noisy.reshape(*outer, slow // block[0], block[0], fast // block[1], block[1])
    bad = blocks.mean(axis=(-3, -1)) > fraction
    return bad.repeat(block[0], axis=-2).repeat(block[1], axis=-1)


def melt_snow(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    level: float,
    interpolated_bit: int,
    interpolate: bool = True,
) -> int:
    """Mark, and fill from neighbours, pixels that pretend a lower gain stage, in place.

    data, gain, mask: f4, u1, u4 (frame, slow_scan, fast_scan), corrected
    level: a pixel that is not in high gain counts as snow if its own signal is
        below this, which no pixel that switched by itself can be, or if it is NaN
    interpolated_bit: is set in the mask of snow
    interpolate: give snow the mean of its up to eight neighbours that are in high
        gain and have no bit set; NaN without any. Its gain stage becomes 0

    Returns the number of snow pixels.
    """
    shape = data.shape
    if data.ndim != 3:
        raise ValueError(f"data has shape {shape}, needs (frame, slow_scan, fast_scan)")
    check_array("data", data, "f4", shape)
    check_array("gain", gain, "u1", shape)
    check_array("mask", mask, "u4", shape)
    return int(_melt(data, gain, mask, np.float32(level), np.uint32(interpolated_bit), interpolate))


@njit(nogil=True, cache=True)
def _melt(data, gain, mask, level, bit, interpolate):
    found = 0
    slow, fast = data.shape[1:]
    for n in range(data.shape[0]):
        # All are marked before any is filled, so that none is filled from another.
        before = found
        for i in range(slow):
            for j in range(fast):
                if gain[n, i, j] > 0 and not data[n, i, j] >= level:
                    mask[n, i, j] |= bit
                    found += 1
        if not interpolate or found == before:
            continue
        for i in range(slow):
            for j in range(fast):
                if gain[n, i, j] > 0 and not data[n, i, j] >= level and mask[n, i, j] & bit:
                    data[n, i, j] = _mean_of_neighbours(data[n], gain[n], mask[n], i, j)
        for i in range(slow):
            for j in range(fast):
                if mask[n, i, j] & bit:
                    gain[n, i, j] = 0
    return found


@njit(nogil=True, cache=True)
def _mean_of_neighbours(data, gain, mask, row, column):
    total, count = 0.0, 0
    for i in range(max(row - 1, 0), min(row + 2, data.shape[0])):
        for j in range(max(column - 1, 0), min(column + 2, data.shape[1])):
            if gain[i, j] == 0 and mask[i, j] == bits.NONE:
                total += data[i, j]
                count += 1
    return np.float32(total / count) if count else np.float32(np.nan)


def replace_outside(
    data: np.ndarray, low: float = -np.inf, high: float = np.inf, nan: bool = False, value: float = 0.0
) -> None:
    """Give `value` to data below low or above high, and to NaN if `nan`, in place.

    data: f4, C-contiguous, any shape
    """
    check_array("data", data, "f4", data.shape)
    if not low < high:
        raise BadParameter(f"range of good values from {low} to {high}: needs low below high")
    _replace(data.reshape(-1), np.float32(low), np.float32(high), nan, np.float32(value))


@njit(nogil=True, cache=True)
def _replace(data, low, high, nan, value):
    for i in range(data.size):
        x = data[i]
        data[i] = value if (x < low) | (x > high) | (nan & (x != x)) else x
