"""Signals alone, for who wants neither gain stages nor masks: a third of the bytes to move.

The arithmetic is that of `gain_switching`, bit for bit. What is not wanted is
folded into the constants, where it costs nothing: see `without_bad_pixels`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.cells import CHUNK, CHUNKS, ROW, TILE, frames_by_cell
from calibook.kernels.checks import check_array
from calibook.kernels.digital_lines import ADC_BITS, ADC_MAX
from calibook.kernels.digital_steps import signals_step
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.lanes import LARGEST, NAN, of_stage, one_nan
from calibook.kernels.near import LEVELS, fold, fold_lanes, lines, rows
from calibook.kernels.packing import STAGES, PackedConstants
from calibook.kernels.streaming import (
    AHEAD,
    fetch,
    fetch_line,
    finish_streaming,
    pixels_to_line,
    stream_pair,
    whole_lines,
)

_2, _3, _4, _5 = (ROW * np.uint64(row) for row in range(2, 6))
_TWO, _FOUR, _WIDE = np.uint64(2), np.uint64(4), np.uint64(WIDE)


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
    wrong_value = one_nan(wrong_gain_value)
    _correct(words, order, first, packed.offset, packed.scale, packed.mask, wrong_value, data)
    data[outside] = NAN


@njit(nogil=True, cache=True)
def _correct(words, order, first, offset, scale, word, wrong_value, data):
    pixels = words.shape[1]
    levels, unused = rows(CHUNKS, LEVELS, np.float32), rows(CHUNKS, STAGES, np.uint32)
    records, x = lines(1, TILE * LEVELS, np.float32)[0], rows(1, 2, np.float32)[0]
    lead = pixels_to_line(data)
    for c in range(first.size - 1):
        frames = order[first[c] : first[c + 1]]
        # An array with one cell serves all cells.
        o, s, w = offset[c % len(offset)], scale[c % len(scale)], word[c % len(word)]
        for begin in range(lead - TILE, pixels if frames.size else 0, TILE):
            a, b = max(begin, 0), min(begin + TILE, pixels)
            # Up to here in packed steps, if constants allow it, and the rest in a loop.
            middle = b - (b - a) % WIDE if whole_lines(data, a) else a
            if not fold_lanes(o, s, None, a, middle, ADC_MAX, LARGEST, records):
                middle = a
            fold(o, s, w, middle, b, ADC_MAX, LARGEST, levels, unused)
            for i in range(0, frames.size, 2):
                # Two frames at a time; an odd one is its own partner.
                n, m = frames[i], frames[min(i + 1, frames.size - 1)]
                _lanes(words, n, m, a, middle, records, wrong_value, data)
                _rest(words, n, m, middle, b, levels, wrong_value, x, data)
    finish_streaming()


@njit(nogil=True, cache=True)
def _rest(words, n, m, a, b, levels, wrong_value, x, data):
    """Pixels a to b of frames n and m; x: near memory for the results."""
    for k in range((b - a + CHUNK - 1) // CHUNK):
        p = a + k * CHUNK
        q = min(p + CHUNK, b)
        _loop(words, n, m, p, q, k, levels, wrong_value, x)
        # What is worked on next arrives while results are stored.
        fetch(words, n, q, min(q + CHUNK, b))
        fetch(words, m, q, min(q + CHUNK, b))
        stream_pair(x, ROW, data, n, m, p, q)


@njit(nogil=True, cache=True)
def _lanes(words, n, m, a, b, records, wrong_value, data):
    """What `_loop` does, in explicit packed instructions, for constants that are finite or NaN.

    a to b: a multiple of WIDE pixels that begins a line of data
    """
    n, m, p, pixels = np.uint64(n), np.uint64(m), np.uint64(a), np.uint64(words.shape[1])
    words0 = np.uint64(words.ctypes.data) + _TWO * (n * pixels + p)
    words1 = np.uint64(words.ctypes.data) + _TWO * (m * pixels + p)
    data0 = np.uint64(data.ctypes.data) + _FOUR * (n * pixels + p)
    data1 = np.uint64(data.ctypes.data) + _FOUR * (m * pixels + p)
    place = np.uint64(records.ctypes.data)
    for i in range(np.uint64(b - a) // _WIDE):
        at, to = _TWO * i * _WIDE, _FOUR * i * _WIDE
        if i % _TWO == 0:
            fetch_line(words0 + at + AHEAD)
            fetch_line(words1 + at + AHEAD)
        signals_step(words0 + at, words1 + at, place, wrong_value, data0 + to, data1 + to)
        place += _FOUR * _WIDE * np.uint64(LEVELS)


@njit(nogil=True, cache=True)
def _loop(words, n, m, p, q, k, levels, wrong_value, data):
    n, m, p, k = np.uint64(n), np.uint64(m), np.uint64(p), np.uint64(k)
    for i in range(np.uint64(q) - p):
        o = levels[k, i], levels[k, ROW + i], levels[k, _2 + i]
        s = levels[k, _3 + i], levels[k, _4 + i], levels[k, _5 + i]
        data[i] = _signal(words[n, p + i], o, s, wrong_value)
        data[ROW + i] = _signal(words[m, p + i], o, s, wrong_value)


@njit(nogil=True, cache=True, inline="always")
def _signal(word, o, s, wrong_value):
    g = word >> ADC_BITS
    signal = np.float32(np.int32(word & ADC_MAX)) - of_stage(g, o[0], o[1], o[2])
    signal *= of_stage(g, s[0], s[1], s[2])
    signal = wrong_value if g == 2 else signal
    return signal if signal == signal else NAN
