"""Lines of pixels for `gain_switching`: signal, gain stage and mask word of samples with a gain code.

`line` says what is done, and does it for whatever constants and places in
memory. `lanes` does the same with packed instructions of our own, for constants
that make no signal infinite. It does two frames at a time, because a pixel's
constants are many: fetched from the cache once, they serve both.

Arrays come whole, since a slice is a reference to be counted, and threads that
count the same array wait for each other. Arguments, of both:

    samples: u2 (frame, pixel), ADC values
    code: u1 (frame, pixel), or None for codes that are bits 15:14 of the samples
    nan_mask, wrong_value: as in `gain_switching`; wrong_stage: the stage of a wrong code
    data, mask: f4, u4 (frame, pixel)
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits, digital_steps, lane_steps
from calibook.kernels.digital_steps import planes_step, words_step
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.lanes import LARGEST, hide, of_stage
from calibook.kernels.near import LEVELS
from calibook.kernels.packing import STAGES
from calibook.kernels.streaming import AHEAD, fetch_line

ADC_BITS = np.int32(digital_steps.ADC_BITS)
ADC_MAX = np.int32(lane_steps.ADC_MAX)
STAGE_OF_WRONG_CODE = np.uint8(2)
"""The gain plane always is an index into the constants' gain axis. A wrong code counts as
the stage that its upper bit suggests; WRONG_GAIN_VALUE tells such pixels from true ones."""

NO_STAGE = np.uint8(3)
"""Stands for a wrong code between `offset_only` and `apply_scale`, and nowhere else."""

RECORD = LEVELS + STAGES
"""Values of 4 bytes per pixel, see `near.fold_lanes`."""

_0, _1, _2 = (np.uint64(stage) for stage in range(STAGES))
_TWO, _FOUR, _WIDE = np.uint64(2), np.uint64(4), np.uint64(WIDE)
_RECORD_BYTES = np.uint64(4 * WIDE * RECORD)


@njit(nogil=True, cache=True)
def lanes(samples, code, n, m, a, b, records, nan_mask, wrong_value, wrong_stage, data, near_gain, mask):
    """The pixels a to b of frames n and m, or of one: a multiple of WIDE that begins a line of data and mask.

    records: RECORD * pixels values of 4 bytes, see `near.fold_lanes`
    near_gain: u1 (2, pixels), near memory, as it takes four steps to fill a line
    """
    pixels = np.uint64(data.shape[1])
    first, second = np.uint64(n) * pixels + np.uint64(a), np.uint64(m) * pixels + np.uint64(a)
    a0 = np.uint64(samples.ctypes.data) + _TWO * first
    a1 = np.uint64(samples.ctypes.data) + _TWO * second
    x0, w0 = np.uint64(data.ctypes.data) + _FOUR * first, np.uint64(mask.ctypes.data) + _FOUR * first
    x1, w1 = np.uint64(data.ctypes.data) + _FOUR * second, np.uint64(mask.ctypes.data) + _FOUR * second
    g0 = np.uint64(near_gain.ctypes.data)
    g1 = g0 + np.uint64(near_gain.strides[0])
    place = np.uint64(records.ctypes.data)
    for i in range(np.uint64(b - a) // _WIDE):
        by, at, to = i * _WIDE, _TWO * i * _WIDE, _FOUR * i * _WIDE
        if i % _TWO == 0:
            fetch_line(a0 + at + AHEAD)
            fetch_line(a1 + at + AHEAD)
        if code is None:
            words_step(
                a0 + at, a1 + at, place, nan_mask, wrong_value, wrong_stage,
                x0 + to, x1 + to, g0 + by, g1 + by, w0 + to, w1 + to,
            )  # fmt: skip
        else:
            c0, c1 = np.uint64(code.ctypes.data) + first + by, np.uint64(code.ctypes.data) + second + by
            if i % _FOUR == 0:
                # As many pixels ahead as the ADC values.
                fetch_line(c0 + AHEAD // _TWO)
                fetch_line(c1 + AHEAD // _TWO)
            planes_step(
                a0 + at, a1 + at, c0, c1, place, nan_mask, wrong_value, wrong_stage,
                x0 + to, x1 + to, g0 + by, g1 + by, w0 + to, w1 + to,
            )  # fmt: skip
        place += _RECORD_BYTES


@njit(nogil=True, cache=True)
def line(samples, code, n, p, q, offset, scale, word, nan_mask, wrong_value, wrong_stage, data, gain, mask):
    """The pixels p to q of frame n; offset, scale, word: (stage, pixel); gain: u1 (frame, pixel)."""
    # Unsigned, so that nothing asks whether they count from the end.
    n, first = np.uint64(n), np.uint64(p)
    for i in range(np.uint64(q) - first):
        at = first + i
        a = np.int32(samples[n, at] & ADC_MAX)
        g = np.uint8(samples[n, at] >> ADC_BITS) if code is None else code[n, at]
        o = offset[_0, at], offset[_1, at], offset[_2, at]
        s = scale[_0, at], scale[_1, at], scale[_2, at]
        w = word[_0, at], word[_1, at], word[_2, at]
        signal, bad, stage = _sample(a, g, o, s, w, wrong_value, wrong_stage)
        mask[n, at] = bad
        gain[n, at] = stage
        data[n, at] = hide(signal, bad, nan_mask)


@njit(nogil=True, cache=True)
def _sample(a, g, o, s, w, wrong_value, wrong_stage):
    """(signal f4, mask word u4, gain stage u1) of one ADC value `a` with gain code `g`."""
    wrong = (g == 2) | (g > 3)
    signal = (np.float32(a) - of_stage(g, o[0], o[1], o[2])) * of_stage(g, s[0], s[1], s[2])
    signal = wrong_value if wrong else signal
    bad = of_stage(g, w[0], w[1], w[2])
    bad |= bits.WRONG_GAIN_VALUE if wrong else bits.NONE
    bad |= bits.VALUE_OUT_OF_RANGE if (a == 0) | (a == ADC_MAX) else bits.NONE
    bad |= bits.NONE if wrong | (np.abs(signal) <= LARGEST) else bits.VALUE_IS_NAN
    stage = wrong_stage if wrong else (STAGE_OF_WRONG_CODE if g > 2 else g)
    return signal, np.uint32(bad), stage
