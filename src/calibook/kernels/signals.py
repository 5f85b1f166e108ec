"""Signals alone, for who wants neither gain stages nor masks: a third of the bytes to move.

The arithmetic is that of `gain_switching`, bit for bit. What is not wanted is
folded into the constants, where it costs nothing: see `without_bad_pixels`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.cells import TILE, frames_by_cell
from calibook.kernels.checks import check_array
from calibook.kernels.gain_switching import ADC_BITS, ADC_MAX
from calibook.kernels.lanes import NAN, of_stage
from calibook.kernels.packing import PackedConstants


def without_bad_pixels(
    packed: PackedConstants, excluded: int = bits.ALL, value: float = np.nan
) -> PackedConstants:
    """Constants that give `value`, NaN or 0, where the mask word has one of the bits `excluded`."""
    if not (np.isnan(value) or value == 0):
        raise ValueError(f"bad pixels can become NaN or 0, not {value}")
    shape = (packed.cells, *packed.offset.shape[1:])
    bad = np.broadcast_to((packed.mask & np.uint32(excluded)) != 0, shape)
    offset = np.where(bad, np.float32(0), packed.offset)
    return replace(packed, offset=offset, scale=np.where(bad, np.float32(value), packed.scale))


def correct_signals(
    words: np.ndarray,
    cell: np.ndarray,
    packed: PackedConstants,
    data: np.ndarray,
    wrong_gain_value: float = 0.0,
) -> None:
    """The data of `gain_switching.correct_words`; nothing is hidden, as no mask is looked at.

    words: u2 (frame, pixel), gain code in bits 15:14
    cell: integers (frame,), index into the constants' cell axis; NaN for others
    data: f4 (frame, pixel), overwritten
    wrong_gain_value: data where the code is 2, which does not exist

    Raises ValueError if an array has the wrong dtype, shape or layout.
    """
    shape = (len(words), packed.pixels)
    check_array("words", words, "u2", shape)
    check_array("data", data, "f4", shape)
    if np.shape(cell) != shape[:1]:
        raise ValueError(f"cell has shape {np.shape(cell)}, needs {shape[:1]}: one index per frame")
    order, first, outside = frames_by_cell(cell, packed.cells)
    _correct(words, order, first, packed.offset, packed.scale, np.float32(wrong_gain_value), data)
    data[outside] = NAN


@njit(nogil=True, cache=True)
def _correct(words, order, first, offset, scale, wrong_value, data):
    for c in range(first.size - 1):
        # An array with one cell serves all cells.
        o, s = offset[c % len(offset)], scale[c % len(scale)]
        for a in range(0, words.shape[1], TILE):
            b = min(a + TILE, words.shape[1])
            _correct_tile(words, order[first[c] : first[c + 1]], a, b, o, s, wrong_value, data)


@njit(nogil=True, cache=True)
def _correct_tile(words, frames, a, b, offset, scale, wrong_value, data):
    """Pixels a to b of some frames of one cell."""
    for k in range(frames.size):
        # Unsigned indices: the compiler need not ask whether they count from the end.
        n = np.uint64(frames[k])
        for i in range(np.uint64(b - a)):
            p = np.uint64(a) + i
            g = words[n, p] >> ADC_BITS
            signal = np.float32(np.int32(words[n, p] & ADC_MAX))
            signal -= of_stage(g, offset[0, p], offset[1, p], offset[2, p])
            signal *= of_stage(g, scale[0, p], scale[1, p], scale[2, p])
            signal = wrong_value if g == 2 else signal
            data[n, p] = signal if signal == signal else NAN
