"""Gain stage, offset, gain and mask in one pass, for detectors with a second, analogue plane of gain.

A sample is an ADC value a and a value q of the gain plane, which tells the gain
stage: high (0), medium (1) or low (2). For memory cell c of pixel p

    stage = 0;  1 if q > threshold[c, 0, p];  2 if q > threshold[c, 1, p]
    stage = 1   if stage = 2 and a < force_below[c, 1, p]
    stage = 0   if stage > 0 and a < force_below[c, 0, p]
    data  = max(a - offset[c, stage, p] - shift of high gain, lowest of the stage) * scale[c, stage, p]

The decision is made in whole numbers, see `analogue_packing`; data in float32,
with a rounding at each step. The rules catch false stages: the gain plane is noisy, but a
true medium signal lies far above the high offset. Rules that are off are
constants that no sample meets; if none is on, a shorter loop leaves them out.

The loops run over cell, tile of pixels, frames of that cell, pixels of the tile:
see `near` for the constants, `streaming` for the results.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.analogue_lines import ADC_MAX, LIMITS, fold_lanes, fold_limits, lanes, loop
from calibook.kernels.analogue_packing import AnalogueConstants
from calibook.kernels.cells import CHUNK, CHUNKS, ROW, TILE, frames_by_cell
from calibook.kernels.checks import check_array
from calibook.kernels.lane_steps import LANES, RECORD, WIDE
from calibook.kernels.lanes import LARGEST, NAN, hide, of_stage
from calibook.kernels.near import LEVELS, fold, lines, rows, stage_rows
from calibook.kernels.packing import STAGES, PackedConstants
from calibook.kernels.streaming import fetch, finish_streaming, pixels_to_line, stream_pair, whole_lines

MAX_SIGNAL = np.float32(1e7)
"""No detector sees so much, in whatever unit: constants that give more are wrong."""

_NO_FLOOR, _NO_LIMIT = np.float32(-np.inf), np.float32(np.inf)


def correct_frames(
    raw: np.ndarray,
    cell: np.ndarray,
    constants: PackedConstants,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    *,
    nan_mask: int = 0,
    medium_not_negative: bool = False,
    fixed_stage: int | None = None,
    offset_only: bool = False,
    shift: np.ndarray | None = None,
    excluded: int = bits.ALL,
) -> None:
    """Correct frames.

    raw: u2 (frame, 2, pixel), ADU: signal and gain plane
    cell: integers (frame,), index into the constants' cell axis
    constants: AnalogueConstants, or PackedConstants if the stage is fixed
    data, gain, mask: f4, u1, u4 (frame, pixel), overwritten with the result
    nan_mask: data becomes NaN where the mask word has one of these bits
    medium_not_negative: medium gain is only reached by large signals, so what
        is below its offset counts as 0
    fixed_stage: all samples are in this stage, and the gain plane tells nothing
    offset_only: leave out scale, nan_mask and VALUE_OUT_OF_RANGE of the result,
        for a step between offset and gain; `apply_scale` must follow
    shift: f4 (frame, pixel // 8), ADU that are taken from each eight pixels in high gain
        between offset and scale, see `dark_shift.shift_of_lanes`; None for none
    excluded: pixels with one of these bits, of constants or of the ADC, keep their shift

    Bits added to the constants' word: VALUE_OUT_OF_RANGE for an ADC value at
    either end of its range (0 also is what lost frames hold) or a result beyond
    1e7; VALUE_IS_NAN where the arithmetic gave no finite number (not where
    `nan_mask` put the NaN). Frames of a cell without constants get NaN, stage 0
    or the fixed one, and NO_DARK_DATA alone. Every NaN has the same bits.

    Raises ValueError if an array has the wrong dtype, shape or layout.
    """
    shape = (len(raw), constants.pixels)
    check_array("raw", raw, "u2", (shape[0], 2, shape[1]))
    outputs = _checked_outputs(cell, data, gain, mask, shape)
    order, first, outside = frames_by_cell(cell, constants.cells)
    used = constants.unscaled() if offset_only else constants
    arrays = used.offset, used.scale, used.mask
    settings = _settings(nan_mask, offset_only)
    if shift is not None:
        if fixed_stage is not None:
            raise ValueError("shifts are for adaptive gain, and a stage is fixed")
        check_array("shift", shift, "f4", (shape[0], shape[1] // LANES))
    if fixed_stage is not None:
        if not 0 <= fixed_stage < STAGES:
            raise ValueError(f"gain stage {fixed_stage}: needs 0 to {STAGES - 1}")
        # The fixed stage may be medium, but then its signals are small ones, too.
        _correct_fixed(raw, order, first, np.uint8(fixed_stage), *arrays, *settings, *outputs)
    elif isinstance(constants, AnalogueConstants):
        decide = constants.threshold, constants.force_below
        ruled = medium_not_negative or constants.has_rules or bool(settings[0])
        floor = np.float32(0) if medium_not_negative else _NO_FLOOR
        shifts = np.empty((0, 0), np.float32) if shift is None else shift
        reach = np.float32(ADC_MAX + np.abs(shifts).max(initial=0))
        rules = ruled, floor, shifts, np.uint32(excluded), reach
        _correct(raw, order, first, *decide, *rules, *arrays, *settings, *outputs)
    else:
        raise ValueError("the constants have no thresholds, and no stage is fixed")
    data[outside], gain[outside], mask[outside] = NAN, fixed_stage or 0, bits.NO_DARK_DATA


def apply_scale(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    cell: np.ndarray,
    constants: PackedConstants,
    nan_mask: int = 0,
) -> None:
    """Finish, in place, what `correct_frames` did with `offset_only`.

    If nothing changed the data in between, the result is that of the fused
    kernel, bit for bit. Arguments as there.
    """
    outputs = _checked_outputs(cell, data, gain, mask, (len(data), constants.pixels))
    order, first, _ = frames_by_cell(cell, constants.cells)
    _apply_scale(order, first, constants.scale, *_settings(nan_mask, False), *outputs)


def _checked_outputs(cell, data, gain, mask, shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_array("data", data, "f4", shape)
    check_array("gain", gain, "u1", shape)
    check_array("mask", mask, "u4", shape)
    if np.shape(cell) != shape[:1]:
        raise ValueError(f"cell has shape {np.shape(cell)}, needs {shape[:1]}: one index per frame")
    return data, gain, mask


def _settings(nan_mask: int, offset_only: bool) -> tuple[np.uint32, np.float32]:
    """(bits that make data NaN, largest signal)"""
    return (bits.NONE, _NO_LIMIT) if offset_only else (np.uint32(nan_mask), MAX_SIGNAL)


@njit(nogil=True, cache=True)
def _correct(
    raw, order, first, threshold, force_below, ruled, floor, shift, excluded, reach, offset, scale, word,
    nan_mask, largest, data, gain, mask,
):  # fmt: skip
    pixels = raw.shape[2]
    limits, levels = rows(CHUNKS, LIMITS, np.int32), rows(CHUNKS, LEVELS, np.float32)
    words, records = rows(CHUNKS, STAGES, np.uint32), lines(1, TILE * RECORD, np.int32)[0]
    x, g, u = rows(1, 2, np.float32)[0], rows(1, 2, np.uint8)[0], rows(1, 2, np.uint32)[0]
    stages = stage_rows()
    lead = pixels_to_line(data)
    for c in range(first.size - 1):
        frames = order[first[c] : first[c + 1]]
        # An array with one cell serves all cells.
        t, f = threshold[c % len(threshold)], force_below[c % len(force_below)]
        o, s, w = offset[c % len(offset)], scale[c % len(scale)], word[c % len(word)]
        for begin in range(lead - TILE, pixels if frames.size else 0, TILE):
            a, b = max(begin, 0), min(begin + TILE, pixels)
            fits = whole_lines(data, a) & whole_lines(mask, a)
            # Shifts belong to eight pixels that begin at a multiple of eight.
            fits &= shift.shape[0] == 0 or a % LANES == 0
            # Up to here in packed steps, if constants allow it, and the rest in a loop.
            middle = b - (b - a) % WIDE if fits else a
            if not fold_lanes(t, f, o, s, w, a, middle, reach, largest, records):
                middle = a
            fold_limits(t, f, middle, b, limits)
            fold(o, s, w, middle, b, reach, largest, levels, words)
            for i in range(0, frames.size, 2):
                # Two frames at a time; an odd one is its own partner.
                n, m = frames[i], frames[min(i + 1, frames.size - 1)]
                if a < middle:
                    lanes(
                        raw, n, m, a, middle, records, ruled, floor, nan_mask, shift, excluded, data, stages,
                        mask,
                    )  # fmt: skip
                    stream_pair(stages, stages.shape[1], gain, n, m, a, middle)
                _rest(
                    raw, n, m, middle, b, limits, levels, words, floor, nan_mask, shift, excluded, largest,
                    x, g, u, data, gain, mask,
                )  # fmt: skip
    finish_streaming()


@njit(nogil=True, cache=True)
def _rest(
    raw, n, m, a, b, limits, levels, words, floor, nan_mask, shift, excluded, largest, x, g, u, data, gain,
    mask,
):  # fmt: skip
    """Pixels a to b of frames n and m; x, g, u: near memory for the results."""
    # No tuples of arrays here: making one counts references, which costs more than some pixels.
    for k in range((b - a + CHUNK - 1) // CHUNK):
        p = a + k * CHUNK
        q = min(p + CHUNK, b)
        loop(raw, n, m, p, q, k, limits, levels, words, floor, nan_mask, shift, excluded, largest, x, g, u)
        _fetch(raw, n, m, q, min(q + CHUNK, b))
        stream_pair(x, ROW, data, n, m, p, q)
        stream_pair(u, ROW, mask, n, m, p, q)
        stream_pair(g, ROW, gain, n, m, p, q)


@njit(nogil=True, cache=True)
def _fetch(raw, n, m, p, q):
    """Both planes of what is worked on next arrive while results are stored."""
    for plane in range(2):
        fetch(raw, 2 * n + plane, p, q)
        fetch(raw, 2 * m + plane, p, q)


@njit(nogil=True, cache=True)
def _correct_fixed(raw, order, first, stage, offset, scale, word, nan_mask, largest, data, gain, mask):
    pixels = raw.shape[2]
    for c in range(first.size - 1):
        o, s = offset[c % len(offset), stage], scale[c % len(scale), stage]
        w = word[c % len(word), stage]
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _correct_fixed_line(
                    raw[n, 0, a:b], stage, o[a:b], s[a:b], w[a:b], nan_mask, largest,
                    data[n, a:b], gain[n, a:b], mask[n, a:b],
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _apply_scale(order, first, scale, nan_mask, largest, data, gain, mask):
    pixels = data.shape[1]
    for c in range(first.size - 1):
        s = scale[c % len(scale)]
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _apply_scale_line(
                    s[0, a:b], s[1, a:b], s[2, a:b], nan_mask, largest,
                    data[n, a:b], gain[n, a:b], mask[n, a:b],
                )  # fmt: skip


# The loops over a line of pixels are functions of their own, on contiguous
# slices: one check that the arrays don't overlap, then packed instructions.


@njit(nogil=True, cache=True)
def _correct_fixed_line(adc, stage, offset, scale, words, nan_mask, largest, data, gain, mask):
    for i in range(adc.size):
        signal = (np.float32(np.int32(adc[i])) - offset[i]) * scale[i]
        word = _word(adc[i], signal, words[i], largest)
        mask[i] = word
        gain[i] = stage
        data[i] = hide(signal, word, nan_mask)


@njit(nogil=True, cache=True)
def _apply_scale_line(s0, s1, s2, nan_mask, largest, data, gain, mask):
    for i in range(data.size):
        signal = data[i] * of_stage(gain[i], s0[i], s1[i], s2[i])
        word = _bits_of(signal, mask[i], largest)
        mask[i] = word
        data[i] = hide(signal, word, nan_mask)


@njit(nogil=True, cache=True)
def _word(a, signal, word, largest):
    word |= bits.VALUE_OUT_OF_RANGE if (a == 0) | (a >= ADC_MAX) else bits.NONE
    return _bits_of(signal, word, largest)


@njit(nogil=True, cache=True)
def _bits_of(signal, word, largest):
    size = np.abs(signal)
    word |= bits.NONE if size <= LARGEST else bits.VALUE_IS_NAN
    word |= bits.VALUE_OUT_OF_RANGE if size > largest else bits.NONE
    return np.uint32(word)
