"""The signal of frames, from some of their rows: for frames of which nothing else is wanted."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.checks import check_array
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.statistics_steps import SIDE_BY_SIDE, signal_step, summed
from calibook.kernels.streaming import fetch

_AHEAD = 2
"""Rows from what is summed to what is fetched: no processor foresees what comes after a gap."""


def row_sums(
    data: np.ndarray, mask: np.ndarray, width: int, every: int, excluded: int = bits.ALL
) -> tuple[np.ndarray, np.ndarray]:
    """Sum (f8) and number (i8) of the values used in each frame, both (frame,), as of `CorrectedStatistics`.

    data, mask: f4, u4 (frame, pixel), of rows of `width` pixels; of so many rows the first is looked at
    """
    check_array("data", data, "f4", (len(data), data.shape[-1]))
    check_array("mask", mask, "u4", data.shape)
    if width < 1 or every < 1 or data.shape[1] % width:
        raise ValueError(f"one of {every} rows of {width} pixels: frames have {data.shape[1]}")
    sums, counts = np.zeros((len(data), SIDE_BY_SIDE)), np.zeros(len(data), np.int64)
    _add_rows(data, mask, width, width * every, np.uint32(excluded), sums, counts)
    return sums.sum(axis=1), counts


@njit(nogil=True, cache=True)
def _add_rows(data, mask, width, distance, excluded, sums, counts):
    for n in range(data.shape[0]):
        for p in range(0, data.shape[1], distance):
            ahead = p + _AHEAD * distance
            fetch(data, n, ahead, ahead + width)
            fetch(mask, n, ahead, ahead + width)
            middle = p + width - width % WIDE
            _add_packed(data[n, p:middle], mask[n, p:middle], excluded, sums[n], counts[n:])
            for i in range(middle, p + width):
                value, used = summed(data[n, i], mask[n, i], excluded)
                sums[n, 0] += value
                counts[n] += np.int64(used)


@njit(nogil=True, cache=True)
def _add_packed(data, mask, excluded, total, count):
    to_total, to_count = np.uint64(total.ctypes.data), np.uint64(count.ctypes.data)
    for i in range(np.uint64(data.size) // np.uint64(WIDE)):
        at = np.uint64(4 * WIDE) * i
        x, word = np.uint64(data.ctypes.data) + at, np.uint64(mask.ctypes.data) + at
        signal_step(x, word, excluded, to_total, to_count)
