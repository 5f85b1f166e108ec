"""A closer look at some frames than the statistics of all can afford: their chips, and their raw planes."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.checks import check_array

PLANE_BINS, PLANE_BIN_WIDTH = 256, 64
"""Bins of each raw plane, and their width in ADU: together what 14 bits can hold."""


def add_planes(raw: np.ndarray, counts: np.ndarray) -> None:
    """Count samples by gain plane and signal plane.

    raw: u2 (frame, 2, pixel): signal and gain plane, ADU
    counts: i8 (PLANE_BINS of gain, PLANE_BINS of signal), added to; values of
        more than 14 bits are counted in the last bins
    """
    check_array("raw", raw, "u2", (len(raw), 2, raw.shape[-1]))
    check_array("counts", counts, "i8", (PLANE_BINS, PLANE_BINS))
    _add_planes(raw, counts)


def chip_sums(
    data: np.ndarray, mask: np.ndarray, block: tuple[int, int], excluded: int = bits.ALL
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the good values of each chip in each frame.

    data, mask: f4, u4 (frame, slow_scan, fast_scan); good is finite and without a bit of `excluded`
    block: (slow_scan, fast_scan) of a chip; chips tile the frame

    Returns f8 and i8 (frame, chips on slow_scan, chips on fast_scan). A chip's
    sum is of its pixels in their order, whatever other frames there are.
    """
    shape = data.shape
    check_array("data", data, "f4", shape)
    check_array("mask", mask, "u4", shape)
    chips = (shape[0], shape[1] // block[0], shape[2] // block[1])
    if (chips[1] * block[0], chips[2] * block[1]) != shape[1:]:
        raise ValueError(f"chips of {block} pixels don't tile a frame of {shape[1:]}")
    sums, counts = np.zeros(chips), np.zeros(chips, np.int64)
    _chip_sums(data, mask, block[0], block[1], np.uint32(excluded), sums, counts)
    return sums, counts


@njit(nogil=True, cache=True)
def _add_planes(raw, counts):
    last = PLANE_BINS - 1
    for n in range(raw.shape[0]):
        for i in range(raw.shape[2]):
            gain, signal = raw[n, 1, i] // PLANE_BIN_WIDTH, raw[n, 0, i] // PLANE_BIN_WIDTH
            counts[min(gain, last), min(signal, last)] += 1


@njit(nogil=True, cache=True)
def _chip_sums(data, mask, slow, fast, excluded, sums, counts):
    for n in range(data.shape[0]):
        for i in range(data.shape[1]):
            for j in range(data.shape[2]):
                good = ((mask[n, i, j] & excluded) == 0) & np.isfinite(data[n, i, j])
                sums[n, i // slow, j // fast] += data[n, i, j] if good else 0.0
                counts[n, i // slow, j // fast] += good
