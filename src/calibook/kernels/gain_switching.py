"""Offset, gain and mask in one pass, for detectors that tell the gain stage by a digital code.

A sample is a 14-bit ADC value and a code: 0, 1, 3 are gain stages 0, 1, 2; any
other code is invalid. For stage g and memory cell c of pixel p, in float32 and
with two roundings,

    data = (ADC - offset[c, g, p]) * scale[c, g, p]

and the mask word is the constants' word at (c, g, p) with bits added: see
`correct_planes`. A sample's constants weigh ten times more than the sample, so
the loops run over cell, tile of pixels, frames of that cell, pixels of the
tile: see `digital_lines` for these, `near` for constants, `streaming` for results.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.cells import TILE, frames_by_cell
from calibook.kernels.checks import check_array
from calibook.kernels.digital_lines import (
    ADC_BITS,
    ADC_MAX,
    NO_STAGE,
    RECORD,
    STAGE_OF_WRONG_CODE,
    lanes,
    line,
)
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.lanes import LARGEST, NAN, hide, of_stage, one_nan
from calibook.kernels.near import fold_lanes, lines, stage_rows
from calibook.kernels.packing import PackedConstants
from calibook.kernels.streaming import finish_streaming, pixels_to_line, stream_pair, whole_lines


def correct_planes(
    adc: np.ndarray,
    code: np.ndarray,
    cell: np.ndarray,
    packed: PackedConstants,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    nan_mask: int = 0,
    wrong_gain_value: float = 0.0,
    offset_only: bool = False,
) -> None:
    """Correct frames whose gain codes are a plane of their own.

    adc: u2 (frame, pixel), ADU; bits above the 14th are ignored
    code: u1 (frame, pixel)
    cell: integers (frame,), index into the constants' cell axis
    data, gain, mask: f4, u1, u4 (frame, pixel), overwritten with the result
    nan_mask: data becomes NaN where the mask word has one of these bits
    wrong_gain_value: data where the code is invalid
    offset_only: leave out scale and nan_mask, for a step between offset and
        gain; `apply_scale` must follow, which alone understands NO_STAGE

    Bits added to the constants' word: WRONG_GAIN_VALUE for an invalid code;
    VALUE_OUT_OF_RANGE for an ADC value at either end of its range;
    VALUE_IS_NAN where the arithmetic gave no finite number (not where
    `nan_mask` put the NaN). Frames of a cell without constants get NaN, the
    stage of their code, and NO_DARK_DATA alone. Every NaN has the same bits.

    Raises ValueError if an array has the wrong dtype, shape or layout.
    """
    shape = (len(adc), packed.pixels)
    check_array("adc", adc, "u2", shape)
    check_array("code", code, "u1", shape)
    outputs = _checked_outputs(cell, data, gain, mask, shape)
    settings = _settings(nan_mask, wrong_gain_value, offset_only)
    order, first, outside = frames_by_cell(cell, packed.cells)
    _correct(adc, code, order, first, *_constants(packed, offset_only), *settings, *outputs)
    for n in outside:
        _no_constants(code[n], n, *outputs)


def correct_words(
    words: np.ndarray,
    cell: np.ndarray,
    packed: PackedConstants,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    nan_mask: int = 0,
    wrong_gain_value: float = 0.0,
    offset_only: bool = False,
) -> None:
    """Correct frames of 16-bit words with the gain code in bits 15:14.

    words: u2 (frame, pixel); all else as in `correct_planes`
    """
    shape = (len(words), packed.pixels)
    check_array("words", words, "u2", shape)
    outputs = _checked_outputs(cell, data, gain, mask, shape)
    settings = _settings(nan_mask, wrong_gain_value, offset_only)
    order, first, outside = frames_by_cell(cell, packed.cells)
    _correct(words, None, order, first, *_constants(packed, offset_only), *settings, *outputs)
    for n in outside:
        _no_constants(words[n] >> ADC_BITS, n, *outputs)


def apply_scale(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    cell: np.ndarray,
    packed: PackedConstants,
    nan_mask: int = 0,
    wrong_gain_value: float = 0.0,
) -> None:
    """Finish, in place, what `correct_planes` or `correct_words` did with `offset_only`.

    If nothing changed the data in between, the result is that of the fused
    kernel, bit for bit. Arguments as there.
    """
    outputs = _checked_outputs(cell, data, gain, mask, (len(data), packed.pixels))
    order, first, _ = frames_by_cell(cell, packed.cells)
    _apply_scale(order, first, packed.scale, *_settings(nan_mask, wrong_gain_value, False)[:2], *outputs)


def _checked_outputs(cell, data, gain, mask, shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_array("data", data, "f4", shape)
    check_array("gain", gain, "u1", shape)
    check_array("mask", mask, "u4", shape)
    if np.shape(cell) != shape[:1]:
        raise ValueError(f"cell has shape {np.shape(cell)}, needs {shape[:1]}: one index per frame")
    return data, gain, mask


def _constants(packed: PackedConstants, offset_only: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    constants = packed.unscaled() if offset_only else packed
    return constants.offset, constants.scale, constants.mask


def _settings(
    nan_mask: int, wrong_gain_value: float, offset_only: bool
) -> tuple[np.uint32, np.float32, np.uint8]:
    return (
        np.uint32(0 if offset_only else nan_mask),
        one_nan(wrong_gain_value),
        NO_STAGE if offset_only else STAGE_OF_WRONG_CODE,
    )


def _no_constants(code, n, data, gain, mask) -> None:
    """Frame n has a memory cell without constants; code: its gain codes (pixel,)."""
    data[n] = NAN
    gain[n] = np.minimum(code, STAGE_OF_WRONG_CODE)
    mask[n] = bits.NO_DARK_DATA


@njit(nogil=True, cache=True)
def _correct(
    samples, code, order, first, offset, scale, word, nan_mask, wrong_value, wrong_stage, data, gain, mask
):
    pixels = samples.shape[1]
    records, stages = lines(1, TILE * RECORD, np.float32)[0], stage_rows()
    lead = pixels_to_line(data)
    for c in range(first.size - 1):
        frames = order[first[c] : first[c + 1]]
        # An array with one cell serves all cells.
        o, s, w = offset[c % len(offset)], scale[c % len(scale)], word[c % len(word)]
        for begin in range(lead - TILE, pixels if frames.size else 0, TILE):
            a, b = max(begin, 0), min(begin + TILE, pixels)
            # Up to here in packed steps, if constants allow it, and the rest in a loop.
            middle = b - (b - a) % WIDE if whole_lines(data, a) & whole_lines(mask, a) else a
            if not fold_lanes(o, s, w, a, middle, ADC_MAX, LARGEST, records):
                middle = a
            for i in range(0, frames.size if a < middle else 0, 2):
                # Two frames at a time; an odd one is its own partner.
                n, m = frames[i], frames[min(i + 1, frames.size - 1)]
                lanes(
                    samples, code, n, m, a, middle, records, nan_mask, wrong_value, wrong_stage, data, stages,
                    mask,
                )  # fmt: skip
                stream_pair(stages, stages.shape[1], gain, n, m, a, middle)
            for i in range(frames.size if middle < b else 0):
                line(
                    samples, code, frames[i], middle, b, o, s, w, nan_mask, wrong_value, wrong_stage,
                    data, gain, mask,
                )  # fmt: skip
    finish_streaming()


@njit(nogil=True, cache=True)
def _apply_scale(order, first, scale, nan_mask, wrong_value, data, gain, mask):
    pixels = data.shape[1]
    for c in range(first.size - 1):
        s = scale[c % len(scale)]
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _apply_scale_line(
                    s[0, a:b], s[1, a:b], s[2, a:b], nan_mask, wrong_value,
                    data[n, a:b], gain[n, a:b], mask[n, a:b],
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _apply_scale_line(s0, s1, s2, nan_mask, wrong_value, data, gain, mask):
    for i in range(data.size):
        g = gain[i]
        wrong = g == NO_STAGE
        signal = data[i] * of_stage(g, s0[i], s1[i], s2[i])
        signal = wrong_value if wrong else signal
        word = mask[i]
        word |= bits.NONE if wrong | (np.abs(signal) <= LARGEST) else bits.VALUE_IS_NAN
        mask[i] = word
        gain[i] = STAGE_OF_WRONG_CODE if wrong else g
        data[i] = hide(signal, word, nan_mask)
