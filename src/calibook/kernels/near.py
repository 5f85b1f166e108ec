"""Constants of a tile of pixels, put where they are near and made simple.

A tile serves all frames of a memory cell. So it pays to copy its constants
into scratch memory first, which stays in a core's L2 cache: there they stand
in rows at a fixed distance, so that a loop over them needs one address, and
what does not depend on samples is decided once.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.cells import CHUNK, ROW, TILE
from calibook.kernels.fold_steps import fold_digital_step, fold_levels_step
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.lanes import LARGEST, NAN
from calibook.kernels.packing import STAGES
from calibook.kernels.streaming import LINE

LEVELS = 2 * STAGES
"""Rows of a chunk: offset of each stage, scale of each stage."""


@njit(nogil=True, cache=True)
def rows(chunks, number, dtype):
    """Scratch memory for rows: (chunk, number * ROW), of items of 4 bytes or less."""
    return lines(chunks, number * int(ROW), dtype)


@njit(nogil=True, cache=True)
def lines(chunks, size, dtype):
    """Scratch memory (chunk, size) that begins at a whole line of the cache."""
    items = np.empty(chunks * size + LINE, dtype)
    skip = (-items.ctypes.data % LINE) // items.itemsize
    return items[skip : skip + chunks * size].reshape(chunks, size)


@njit(nogil=True, cache=True)
def stage_rows():
    """Scratch memory u1 (2, pixel) for the gain stages of a tile of two frames: a line takes four steps."""
    # Rows at a distance of a power of two would have the same places of a cache.
    return lines(2, TILE + LINE, np.uint8)


@njit(nogil=True, cache=True)
def fold(offset, scale, word, a, b, adc_max, largest, levels, words):
    """Put constants (stage, pixel) of the pixels a to b into rows.

    levels: f4 (chunk, LEVELS rows); words: u4 (chunk, STAGES rows)

    Stages that have no number become NaN whatever the sample, and the word says so.
    Returns whether no sample up to `adc_max` can be above `largest`, or come near to infinity.
    """
    limit = signal_limit(largest)
    wild = 0
    for k in range((b - a + CHUNK - 1) // CHUNK):
        p, q = a + k * CHUNK, min(a + (k + 1) * CHUNK, b)
        for g in range(STAGES):
            at = g * int(ROW)
            end = at + q - p
            scales = STAGES * int(ROW)
            wild += _fold_line(
                offset[g, p:q], scale[g, p:q], word[g, p:q], np.float32(adc_max), limit,
                levels[k, at:end], levels[k, scales + at : scales + end], words[k, at:end],
            )  # fmt: skip
    return wild == 0


@njit(nogil=True, cache=True)
def _fold_line(offset, scale, word, adc_max, limit, offsets, scales, words):
    wild = np.int32(0)
    for i in range(offset.size):
        o, s = offset[i], scale[i]
        number = (o == o) & (s == s)
        farthest = (adc_max + np.abs(o)) * np.abs(s)
        wild = np.int32(wild + np.int32(number & ~(farthest <= limit)))
        offsets[i] = o if number else np.float32(0)
        scales[i] = s if number else NAN
        words[i] = word[i] | (bits.NONE if number else bits.VALUE_IS_NAN)
    return wild


@njit(nogil=True, cache=True)
def fold_lanes(offset, scale, word, a, b, adc_max, largest, records):
    """As `fold`, but side by side, WIDE pixels of each row: values of 4 bytes (LEVELS + STAGES, pixel).

    word: None leaves out its rows; else they are copied, and don't say which stage has no number
    a to b are a multiple of WIDE pixels.
    """
    limit = signal_limit(largest)
    pixels, wild = np.uint64(offset.shape[1]), np.uint32(0)
    o, s = np.uint64(offset.ctypes.data), np.uint64(scale.ctypes.data)
    place = np.uint64(records.ctypes.data)
    for i in range((b - a) // WIDE):
        at = np.uint64(4) * np.uint64(a + i * WIDE)
        if word is None:
            wild |= fold_levels_step(o + at, s + at, pixels, np.float32(adc_max), limit, place)
            place += np.uint64(4 * WIDE * LEVELS)
        else:
            w = np.uint64(word.ctypes.data) + at
            wild |= fold_digital_step(o + at, s + at, w, pixels, np.float32(adc_max), limit, place)
            place += np.uint64(4 * WIDE * (LEVELS + STAGES))
    return wild == 0


@njit(nogil=True, cache=True, inline="always")
def signal_limit(largest):
    """Signals up to here are neither too large nor near to infinity."""
    return min(largest, LARGEST / np.float32(8))
