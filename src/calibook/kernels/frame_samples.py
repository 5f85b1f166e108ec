"""A closer look at some frames than the statistics of all can afford: their chips, and their raw planes."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.checks import check_array, check_blocks, check_images
from calibook.kernels.chip_steps import ROWS, rows_step
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.lanes import LARGEST
from calibook.kernels.packing import STAGES
from calibook.kernels.streaming import fetch

PLANE_BINS, PLANE_BIN_WIDTH = 256, 64
"""Bins of each raw plane, and their width in ADU: together what 14 bits can hold."""
_AHEAD = 16
"""Rows from what is summed to what is fetched: frames that are looked at are far from each other."""
_SHIFT = np.uint16(PLANE_BIN_WIDTH.bit_length() - 1)
_LAST_BIN = np.uint16(PLANE_BINS - 1)


def add_planes(raw: np.ndarray, counts: np.ndarray, frames: np.ndarray | None = None) -> None:
    """Count samples by gain plane and signal plane.

    raw: u2 (frame, 2, pixel): signal and gain plane, ADU
    counts: i8 (PLANE_BINS of gain, PLANE_BINS of signal), added to; values of
        more than 14 bits are counted in the last bins
    frames: which of them, None for all
    """
    check_array("raw", raw, "u2", (len(raw), 2, raw.shape[-1]))
    check_array("counts", counts, "i8", (PLANE_BINS, PLANE_BINS))
    _add_planes(raw, _places(frames, len(raw)), counts.reshape(-1))


def chip_sums(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    block: tuple[int, int],
    excluded: int = bits.ALL,
    frames: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum and number of the good values of each chip in each frame, and how many samples are in each stage.

    data, gain, mask: f4, u1 (stages 0, 1, 2), u4 (frame, slow_scan, fast_scan); good is finite
        and without a bit of `excluded`
    block: (slow_scan, fast_scan) of a chip; chips tile the frame
    frames: which of them, None for all

    Returns f8 and i8 (frame, chips on slow_scan, chips on fast_scan), and i8 (frame, 3). A chip's sum
    is of the sums of its columns, whatever other frames there are.
    """
    check_images(data, gain, mask)
    check_blocks(block, data.shape[1:])
    some = _places(frames, len(data))
    chips = (len(some), data.shape[1] // block[0], data.shape[2] // block[1])
    sums, counts, stages = np.zeros(chips), np.zeros(chips, np.int64), np.zeros((len(some), STAGES), np.int64)
    _chip_sums(data, gain, mask, some, block[0], block[1], np.uint32(excluded), sums, counts, stages)
    return sums, counts, stages


def _places(frames: np.ndarray | None, number: int) -> np.ndarray:
    places = np.arange(number) if frames is None else np.asarray(frames, np.int64)
    if len(places) and (places.min() < 0 or places.max() >= number):
        raise ValueError(f"frames {places.min()} to {places.max()}: there are {number}")
    return places


@njit(nogil=True, cache=True)
def _add_planes(raw, frames, counts):
    bins = np.empty(raw.shape[2], np.uint16)
    for n in frames:
        _bins(raw[n, 0], raw[n, 1], bins)
        for place in bins:
            counts[np.uint64(place)] += 1


@njit(nogil=True, cache=True)
def _bins(signal, gain, bins):
    for i in range(bins.size):
        row, column = min(gain[i] >> _SHIFT, _LAST_BIN), min(signal[i] >> _SHIFT, _LAST_BIN)
        bins[i] = np.uint16(np.uint16(row * np.uint16(PLANE_BINS)) + column)


@njit(nogil=True, cache=True)
def _chip_sums(data, gain, mask, frames, slow, fast, excluded, sums, counts, stages):
    # A sum for each column of chips side by side: they add up in the order of rows.
    total, number = np.empty(data.shape[2]), np.empty(data.shape[2], np.uint32)
    by_stage = np.empty((STAGES - 1, WIDE), np.uint32)
    packed = slow // ROWS * ROWS
    for n, frame in enumerate(frames):
        by_stage[:] = 0
        x, g, m = data[frame], gain[frame], mask[frame]
        for row in range(sums.shape[1]):
            total[:], number[:] = 0, 0
            first = row * slow
            _add_packed(x, g, m, first, first + packed, excluded, total, number, by_stage)
            _add_lines(x, g, m, first + packed, first + slow, 0, excluded, total, number, by_stage)
            for column in range(sums.shape[2]):
                a, b = column * fast, (column + 1) * fast
                sums[n, row, column], counts[n, row, column] = total[a:b].sum(), number[a:b].sum()
        for stage in range(1, STAGES):
            stages[n, stage] = by_stage[stage - 1].sum()
        stages[n, 0] = gain.shape[1] * gain.shape[2] - stages[n, 1:].sum()


@njit(nogil=True, cache=True)
def _add_packed(data, gain, mask, first, last, excluded, total, number, by_stage):
    """The rows from the first to the last, a multiple of ROWS."""
    width = np.uint64(data.shape[1])
    samples = np.uint64(data.ctypes.data), np.uint64(gain.ctypes.data), np.uint64(mask.ctypes.data)
    stages = np.uint64(by_stage[0].ctypes.data), np.uint64(by_stage[1].ctypes.data)
    to_total, to_number = np.uint64(total.ctypes.data), np.uint64(number.ctypes.data)
    middle = data.shape[1] - data.shape[1] % WIDE
    for i in range(first, last, ROWS):
        for ahead in range(i + _AHEAD, i + _AHEAD + ROWS):
            fetch(data, ahead, 0, data.shape[1])
            fetch(mask, ahead, 0, mask.shape[1])
            fetch(gain, ahead, 0, gain.shape[1])
        for k in range(width // np.uint64(WIDE)):
            j = k * np.uint64(WIDE)
            columns = to_total + np.uint64(8) * j, to_number + np.uint64(4) * j
            rows_step(samples, np.uint64(i) * width + j, width, excluded, columns, stages)
        _add_lines(data, gain, mask, i, i + ROWS, middle, excluded, total, number, by_stage)


@njit(nogil=True, cache=True)
def _add_lines(data, gain, mask, first, last, column, excluded, total, number, by_stage):
    """What the step does, for the columns from one to the end."""
    for i in range(first, last):
        for j in range(column, data.shape[1]):
            x, g = data[i, j], gain[i, j]
            good = (np.abs(x) <= LARGEST) & ((mask[i, j] & excluded) == 0)
            total[j] += np.float64(x if good else np.float32(0))
            number[j] += np.uint32(good)
            by_stage[0, 0] += np.uint32(g == 1)
            by_stage[1, 0] += np.uint32(g == 2)
