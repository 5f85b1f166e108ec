"""Exact median of dark samples in two passes, in memory that doesn't grow with their number.

The first pass counts, per pixel, the upper 7 bits of the 14-bit samples; that
tells in which 128 ADU the median lies. The second counts the lower 7 bits of
the samples in there. This takes 512 bytes a pixel and memory cell, 270 MB for
a module of half a million pixels and one cell: for more cells than fit, do
some pixels or cells at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels.darks import ADC_MAX, checked_frames

BIN_BITS = 7
BINS = 1 << BIN_BITS
# A place for samples that don't count keeps branches out of the inner loops.
NOT_COUNTED = BINS
TILE = 512
"""Pixels per tile: their histograms take 256 KB, which stays in a core's L2 cache."""

_NOTHING_ABOVE = np.uint16(0xFFFF)


class StreamingMedian:
    """Medians per memory cell and pixel.

    Call `count_coarse` for all frames, then `refine`, then `count_fine` for the
    same frames again, then `median`. In each pass the order of frames, and how
    they are cut into blocks, is free. Arguments as in `DarkSums.accumulate`.
    """

    def __init__(self, cells: int, pixels: int):
        self.counts = np.zeros((cells, pixels, BINS + 1), np.uint32)
        # Of the lower of the two middle samples: its coarse bin, its rank in it.
        self.bin = np.zeros((cells, pixels), np.uint16)
        self.rank = np.zeros((cells, pixels), np.uint32)
        self.samples = np.zeros((cells, pixels), np.uint32)
        self.above = np.full((cells, pixels), _NOTHING_ABOVE)
        self._fine = False

    def count_coarse(self, adc: np.ndarray, code: np.ndarray, cell: np.ndarray, expected_code: int) -> None:
        if self._fine:
            raise ValueError("count_coarse after refine: the first pass is over")
        order, first, _ = checked_frames(adc, code, cell, *self.samples.shape)
        _count_coarse(adc, code, order, first, np.uint8(expected_code), self.counts)

    def refine(self) -> None:
        """End the first pass."""
        if self._fine:
            raise ValueError("refine is called twice")
        self._fine = True
        _locate(self.counts, self.bin, self.rank, self.samples)
        self.counts[:] = 0

    def count_fine(self, adc: np.ndarray, code: np.ndarray, cell: np.ndarray, expected_code: int) -> None:
        if not self._fine:
            raise ValueError("count_fine before refine: the first pass isn't over")
        order, first, _ = checked_frames(adc, code, cell, *self.samples.shape)
        _count_fine(adc, code, order, first, np.uint8(expected_code), self.bin, self.counts, self.above)

    def median(self) -> np.ndarray:
        """f8 (cell, pixel), ADU: the middle sample, or the mean of the two; NaN where there was none.

        Raises ValueError if the second pass can't have seen the frames of the first.
        """
        if not self._fine:
            raise ValueError("median before refine: it needs both passes")
        result = np.full(self.samples.shape, np.nan)
        if not _read_off(self.counts, self.bin, self.rank, self.samples, self.above, result):
            raise ValueError("the second pass saw other frames than the first")
        return result


@njit(nogil=True, cache=True)
def _count_coarse(adc, code, order, first, expected, counts):
    for c in range(first.size - 1):
        for a in range(0, adc.shape[1], TILE):
            b = min(a + TILE, adc.shape[1])
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _count_coarse_line(adc[n, a:b], code[n, a:b], expected, counts[c, a:b])


@njit(nogil=True, cache=True)
def _count_fine(adc, code, order, first, expected, coarse, counts, above):
    for c in range(first.size - 1):
        for a in range(0, adc.shape[1], TILE):
            b = min(a + TILE, adc.shape[1])
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _count_fine_line(
                    adc[n, a:b], code[n, a:b], expected, coarse[c, a:b], counts[c, a:b], above[c, a:b]
                )


@njit(nogil=True, cache=True)
def _count_coarse_line(adc, code, expected, counts):
    for p in range(adc.size):
        place = (adc[p] & ADC_MAX) >> BIN_BITS if code[p] == expected else NOT_COUNTED
        counts[p, np.uint64(place)] += np.uint32(1)


@njit(nogil=True, cache=True)
def _count_fine_line(adc, code, expected, coarse, counts, above):
    """Count in the pixel's coarse bin, and keep the smallest sample above it."""
    for p in range(adc.size):
        x = adc[p] & ADC_MAX
        right, coarse_of_x = code[p] == expected, x >> BIN_BITS
        place = x & (BINS - 1) if right & (coarse_of_x == coarse[p]) else NOT_COUNTED
        counts[p, np.uint64(place)] += np.uint32(1)
        above[p] = min(above[p], np.uint16(x) if right & (coarse_of_x > coarse[p]) else _NOTHING_ABOVE)


@njit(nogil=True, cache=True)
def _locate(counts, coarse, rank, samples):
    for c in range(counts.shape[0]):
        for p in range(counts.shape[1]):
            n = np.int64(counts[c, p, :BINS].sum())
            left = (n - 1) // 2 if n > 0 else np.int64(0)
            b = 0
            while b < BINS - 1 and left >= counts[c, p, b]:
                left -= np.int64(counts[c, p, b])
                b += 1
            samples[c, p], coarse[c, p], rank[c, p] = n, b, left


@njit(nogil=True, cache=True)
def _read_off(counts, coarse, rank, samples, above, result):
    for c in range(counts.shape[0]):
        for p in range(counts.shape[1]):
            n, k = np.int64(samples[c, p]), np.int64(rank[c, p])
            if n == 0:
                continue
            lower = _sample_of_rank(counts[c, p, :BINS], k)
            if lower < 0:
                return False
            upper = lower
            if n % 2 == 0:
                upper = _sample_of_rank(counts[c, p, :BINS], k + 1)
            low = np.int64(coarse[c, p]) * BINS
            if upper < 0 and above[c, p] == _NOTHING_ABOVE:
                return False
            high = low + upper if upper >= 0 else np.int64(above[c, p])
            result[c, p] = (low + lower + high) / 2
    return True


@njit(nogil=True, cache=True)
def _sample_of_rank(counts, k):
    """The k-th sample of a histogram, k from 0; -1 if it has fewer."""
    for b in range(counts.size):
        if k < counts[b]:
            return b
        k -= np.int64(counts[b])
    return -1
