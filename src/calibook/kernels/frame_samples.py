"""A closer look at some frames than the statistics of all can afford: their chips, and their raw planes."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.checks import check_array, check_blocks, check_images
from calibook.kernels.lanes import LARGEST

STAGES = 3
PLANE_BINS, PLANE_BIN_WIDTH = 256, 64
"""Bins of each raw plane, and their width in ADU: together what 14 bits can hold."""
_SHIFT = np.uint16(PLANE_BIN_WIDTH.bit_length() - 1)
_LAST_BIN = np.uint16(PLANE_BINS - 1)


def add_planes(raw: np.ndarray, counts: np.ndarray) -> None:
    """Count samples by gain plane and signal plane.

    raw: u2 (frame, 2, pixel): signal and gain plane, ADU
    counts: i8 (PLANE_BINS of gain, PLANE_BINS of signal), added to; values of
        more than 14 bits are counted in the last bins
    """
    check_array("raw", raw, "u2", (len(raw), 2, raw.shape[-1]))
    check_array("counts", counts, "i8", (PLANE_BINS, PLANE_BINS))
    _add_planes(raw, counts.reshape(-1))


def chip_sums(
    data: np.ndarray, gain: np.ndarray, mask: np.ndarray, block: tuple[int, int], excluded: int = bits.ALL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum and number of the good values of each chip in each frame, and how many samples are in each stage.

    data, gain, mask: f4, u1 (stages 0, 1, 2), u4 (frame, slow_scan, fast_scan); good is finite
        and without a bit of `excluded`
    block: (slow_scan, fast_scan) of a chip; chips tile the frame

    Returns f8 and i8 (frame, chips on slow_scan, chips on fast_scan), and i8 (frame, 3). A chip's sum
    is of the sums of its columns, whatever other frames there are.
    """
    check_images(data, gain, mask)
    check_blocks(block, data.shape[1:])
    chips = (len(data), data.shape[1] // block[0], data.shape[2] // block[1])
    sums, counts, stages = np.zeros(chips), np.zeros(chips, np.int64), np.zeros((len(data), STAGES), np.int64)
    _chip_sums(data, gain, mask, block[0], block[1], np.uint32(excluded), sums, counts, stages)
    return sums, counts, stages


@njit(nogil=True, cache=True)
def _add_planes(raw, counts):
    bins = np.empty(raw.shape[2], np.uint16)
    for n in range(raw.shape[0]):
        _bins(raw[n, 0], raw[n, 1], bins)
        for place in bins:
            counts[np.uint64(place)] += 1


@njit(nogil=True, cache=True)
def _bins(signal, gain, bins):
    for i in range(bins.size):
        row, column = min(gain[i] >> _SHIFT, _LAST_BIN), min(signal[i] >> _SHIFT, _LAST_BIN)
        bins[i] = np.uint16(np.uint16(row * np.uint16(PLANE_BINS)) + column)


@njit(nogil=True, cache=True)
def _chip_sums(data, gain, mask, slow, fast, excluded, sums, counts, stages):
    total, number = np.empty(fast), np.empty(fast, np.int32)
    for n in range(data.shape[0]):
        for row in range(sums.shape[1]):
            for column in range(sums.shape[2]):
                total[:], number[:] = 0, 0
                for i in range(row * slow, (row + 1) * slow):
                    a, b = column * fast, (column + 1) * fast
                    _add_line(data[n, i, a:b], mask[n, i, a:b], excluded, total, number)
                sums[n, row, column], counts[n, row, column] = total.sum(), number.sum()
        for i in range(gain.shape[1]):
            first, second = _count_stages(gain[n, i])
            stages[n, 1] += first
            stages[n, 2] += second
        stages[n, 0] = gain.shape[1] * gain.shape[2] - stages[n, 1] - stages[n, 2]


@njit(nogil=True, cache=True)
def _add_line(data, mask, excluded, total, number):
    """A sum for each column of a chip: they add up side by side."""
    for j in range(data.size):
        good = (np.abs(data[j]) <= LARGEST) & ((mask[j] & excluded) == 0)
        total[j] += np.float64(data[j] if good else np.float32(0))
        number[j] += np.int32(good)


@njit(nogil=True, cache=True)
def _count_stages(gain):
    first, second = np.int32(0), np.int32(0)
    for g in gain:
        first = np.int32(first + np.int32(g == 1))
        second = np.int32(second + np.int32(g == 2))
    return first, second
