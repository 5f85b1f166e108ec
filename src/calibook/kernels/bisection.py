"""Exact median of dark samples, by halving the interval that holds it.

Samples are 14-bit whole numbers, so 14 questions "how many are not above this?"
find the sample of any rank. They are put for many pixels at a time, of which
all frames lie in a core's cache: there is no sorting, and no branch per sample.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels.darks import ADC_MAX, checked_frames

MISSING = np.int16(0x7FFF)
"""Stands for samples that don't count; above all that do."""
CACHE_SAMPLES = 1 << 17
"""Samples of a tile, 256 KB: half of a core's L2 cache."""
LEAST_TILE = 32
GROUP = 8
MOST_COUNTED = 1 << 14
"""Frames that are counted in 16 bits."""


def medians(
    adc: np.ndarray, code: np.ndarray, cell: np.ndarray, expected_code: int, cells: int
) -> np.ndarray:
    """Median per memory cell and pixel: f8 (cells, pixel), ADU; NaN where there is no sample.

    adc: u2 (frame, pixel), ADU; bits above the 14th are ignored
    code: u1 (frame, pixel), gain code; only samples with `expected_code` count
    cell: integers (frame,); frames of cells outside 0..cells-1 are left out

    The middle sample, or the mean of the two: as np.median, and exact.
    """
    order, first, _ = checked_frames(adc, code, cell, cells, adc.shape[1])
    result = np.empty((cells, adc.shape[1]))
    _medians(adc, code, order, first, np.uint8(expected_code), result)
    return result


@njit(nogil=True, cache=True)
def _medians(adc, code, order, first, expected, result):
    pixels = adc.shape[1]
    for c in range(first.size - 1):
        frames = order[first[c] : first[c + 1]]
        # Rows are filled up to whole groups, with samples that don't count.
        rows = (frames.size + GROUP - 1) // GROUP * GROUP
        tile = min(pixels, max(LEAST_TILE, CACHE_SAMPLES // max(rows, 1) // LEAST_TILE * LEAST_TILE))
        samples = np.full((rows, tile), MISSING, np.int16)
        for a in range(0, pixels, tile):
            # The last tile may hold pixels of the one before beyond its own: they do no harm.
            b = min(a + tile, pixels)
            _select(adc, code, frames, a, b, expected, samples)
            _medians_of_tile(samples, result[c, a:b])


@njit(nogil=True, cache=True)
def _select(adc, code, frames, a, b, expected, samples):
    """Copy the pixels a to b of some frames, without the samples of other gain stages."""
    for k in range(frames.size):
        n = np.uint64(frames[k])
        for p in range(np.uint64(b - a)):
            sample = np.int16(adc[n, np.uint64(a) + p] & ADC_MAX)
            samples[k, p] = sample if code[n, np.uint64(a) + p] == expected else MISSING


@njit(nogil=True, cache=True)
def _medians_of_tile(samples, result):
    pixels = samples.shape[1]
    size = _count_up_to(samples, np.full(pixels, ADC_MAX, np.int16))
    lower = _of_rank(samples, (size - 1) // 2)
    # The next larger sample, unless the lower one fills both middle places.
    upper = np.where(_count_up_to(samples, lower) > size // 2, lower, _next_above(samples, lower))
    for p in range(result.size):
        result[p] = (np.float64(lower[p]) + np.float64(upper[p])) / 2 if size[p] > 0 else np.nan


@njit(nogil=True, cache=True)
def _of_rank(samples, rank):
    """The sample of that rank, from 0, of each pixel."""
    low, high = _range(samples)
    while np.any(low < high):
        middle = ((low + high) >> 1).astype(np.int16)
        enough = _count_up_to(samples, middle) > rank
        low = np.where(enough | (low == high), low, middle + np.int16(1)).astype(np.int16)
        high = np.where(enough, middle, high).astype(np.int16)
    return low


@njit(nogil=True, cache=True)
def _range(samples):
    """Smallest and largest sample of each pixel that counts."""
    low = np.full(samples.shape[1], MISSING)
    high = np.full(samples.shape[1], np.int16(-1))
    for k in range(samples.shape[0]):
        for p in range(low.size):
            x = samples[k, p]
            low[p] = min(low[p], x)
            high[p] = max(high[p], x if x < MISSING else np.int16(-1))
    return np.minimum(low, high), high


@njit(nogil=True, cache=True)
def _count_up_to(samples, limit):
    """How many samples of each pixel are not above its limit: i4 (pixel,)."""
    count = np.zeros(limit.size, np.int32)
    for k in range(0, samples.shape[0], MOST_COUNTED):
        part = np.zeros(limit.size, np.int16)
        _count_some(samples, k, min(k + MOST_COUNTED, samples.shape[0]), limit, part)
        count += part
    return count


@njit(nogil=True, cache=True)
def _count_some(samples, start, stop, limit, count):
    """Eight frames at a time, so that limits and counts move once for eight samples."""
    for k in range(start, stop, GROUP):
        for p in range(limit.size):
            few = count[p]
            for i in range(GROUP):
                few = np.int16(few + np.int16(samples[k + i, p] <= limit[p]))
            count[p] = few


@njit(nogil=True, cache=True)
def _next_above(samples, limit):
    """The smallest sample above each pixel's limit."""
    smallest = np.full(limit.size, MISSING)
    for k in range(samples.shape[0]):
        for p in range(limit.size):
            x = samples[k, p]
            smallest[p] = min(smallest[p], x if x > limit[p] else MISSING)
    return smallest
