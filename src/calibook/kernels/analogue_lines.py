"""Pixels of two frames at a time, for `analogue_gain`: decision, signal and mask word.

Two frames, because a pixel's constants are many: fetched from the cache once,
they serve both. `loop` says what is done, and does it for whatever constants.
`lanes` does the same with packed instructions of our own, for constants with
which no value needs to be looked at.

Arrays come whole, since a slice is a reference to be counted, and threads that
count the same array wait for each other. Arguments, of both:

    raw: u2 (frame, 2, pixel); pixels of frames n and m, which may be the same
    floor: lowest medium signal; nan_mask, largest: as in `analogue_gain`
    shift: f4 (frame or none, pixel // LANES), see `per_lanes`; excluded: bits of pixels that it leaves alone

of `loop`, for the pixels p to q, chunk k of those that have rows:

    limits: i4 (chunk, LIMITS rows), see `fold_limits`
    levels, words: rows of `near.fold`
    data, gain, mask: f4, u1, u4, two rows: the results of each frame

and of `lanes`, for the pixels a to b:

    records: i4 (RECORD * pixels,), the same interleaved, see `fold_lanes`
    data, mask: f4, u4 (frame, pixel), streamed to
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.kernels import bits, lane_steps
from calibook.kernels.cells import CHUNK, ROW
from calibook.kernels.fold_steps import fold_analogue_step
from calibook.kernels.lane_steps import LANES, RECORD, WIDE, plain_step, ruled_step, shifted_step
from calibook.kernels.lanes import LARGEST, choose, hide
from calibook.kernels.near import signal_limit
from calibook.kernels.streaming import AHEAD, fetch_line

ADC_MAX = np.int32(lane_steps.ADC_MAX)
LIMITS = 4
"""Rows: two thresholds, two signals below which a stage is not believed."""

# Row numbers times their distance; unsigned, so that nothing asks whether they count from the end.
_1, _2, _3, _4, _5 = (ROW * np.uint64(row) for row in range(1, 6))
_SIGNAL, _LEVEL = np.uint64(0), np.uint64(1)
_TWO, _FOUR, _WIDE = np.uint64(2), np.uint64(4), np.uint64(WIDE)
_RECORD_BYTES = np.uint64(4 * WIDE * RECORD)


@njit(nogil=True, cache=True)
def fold_limits(threshold, force_below, a, b, limits):
    """Put what decides the stage of the pixels a to b into rows: i4 (chunk, LIMITS rows)."""
    for k in range((b - a + CHUNK - 1) // CHUNK):
        row, p, q = limits[k], a + k * CHUNK, min(a + (k + 1) * CHUNK, b)
        _fold_limits_line(
            threshold[0, p:q], threshold[1, p:q], force_below[0, p:q], force_below[1, p:q],
            row[: q - p], row[_1 : _1 + q - p], row[_2 : _2 + q - p], row[_3 : _3 + q - p],
        )  # fmt: skip


@njit(nogil=True, cache=True)
def _fold_limits_line(t0, t1, f0, f1, first, second, high_below, medium_below):
    for i in range(t0.size):
        # What exceeds the second threshold has left high gain, whatever the first one is.
        first[i] = min(t0[i], t1[i])
        second[i] = t1[i]
        high_below[i] = f0[i]
        medium_below[i] = f1[i]


@njit(nogil=True, cache=True)
def fold_lanes(threshold, force_below, offset, scale, word, a, b, reach, largest, records):
    """`fold_limits` and `near.fold` at once, side by side: WIDE pixels of each row stand together.

    a to b are a multiple of WIDE pixels
    reach: ADU, no sample is above, with its shift
    records: i4 (RECORD * pixels,)
    Returns whether no value needs to be looked at.
    """
    limit = signal_limit(largest)
    pixels, wild = np.uint64(offset.shape[1]), np.uint32(0)
    t, f = np.uint64(threshold.ctypes.data), np.uint64(force_below.ctypes.data)
    o, s, w = np.uint64(offset.ctypes.data), np.uint64(scale.ctypes.data), np.uint64(word.ctypes.data)
    place = np.uint64(records.ctypes.data)
    for i in range((b - a) // WIDE):
        at = np.uint64(a + i * WIDE)
        two, four = np.uint64(2) * at, np.uint64(4) * at
        wild |= fold_analogue_step(
            t + two, f + two, o + four, s + four, w + four, pixels, reach, limit, place
        )
        place += _RECORD_BYTES
    return wild == 0


@njit(nogil=True, cache=True)
def lanes(raw, n, m, a, b, records, ruled, floor, nan_mask, shift, excluded, data, near_gain, mask):
    """The pixels a to b, a multiple of WIDE that begins a line of data and of mask, which are (frame, pixel).

    Unless ruled, there are no limits, no floor, no nan_mask, no shifts.
    near_gain: u1 (2, pixels), near memory, as it takes four steps to fill a line
    """
    n, m, p = np.uint64(n), np.uint64(m), np.uint64(a)
    plane = np.uint64(raw.strides[1])
    adc0 = np.uint64(raw.ctypes.data) + _TWO * (n * plane + p)
    adc1 = np.uint64(raw.ctypes.data) + _TWO * (m * plane + p)
    place, pixels = np.uint64(records.ctypes.data), np.uint64(data.shape[1])
    first, second = _FOUR * (n * pixels + p), _FOUR * (m * pixels + p)
    x0, x1 = np.uint64(data.ctypes.data) + first, np.uint64(data.ctypes.data) + second
    w0, w1 = np.uint64(mask.ctypes.data) + first, np.uint64(mask.ctypes.data) + second
    g0 = np.uint64(near_gain.ctypes.data)
    g1 = g0 + np.uint64(near_gain.strides[0])
    shifted, groups = shift.shape[0] > 0, np.uint64(shift.strides[0])
    s0 = np.uint64(shift.ctypes.data) + n * groups + p // _TWO
    s1 = np.uint64(shift.ctypes.data) + m * groups + p // _TWO
    for i in range(np.uint64(b - a) // _WIDE):
        at, by, to = _TWO * i * _WIDE, i * _WIDE, _FOUR * i * _WIDE
        if i % _TWO == 0:
            fetch_line(adc0 + at + AHEAD)
            fetch_line(adc0 + plane + at + AHEAD)
            fetch_line(adc1 + at + AHEAD)
            fetch_line(adc1 + plane + at + AHEAD)
        if shifted:
            shifted_step(
                adc0 + at, adc0 + plane + at, adc1 + at, adc1 + plane + at, place, floor, nan_mask,
                x0 + to, x1 + to, g0 + by, g1 + by, w0 + to, w1 + to,
                s0 + by // _TWO, s1 + by // _TWO, excluded,
            )  # fmt: skip
        elif ruled:
            ruled_step(
                adc0 + at, adc0 + plane + at, adc1 + at, adc1 + plane + at, place, floor, nan_mask,
                x0 + to, x1 + to, g0 + by, g1 + by, w0 + to, w1 + to,
            )  # fmt: skip
        else:
            plain_step(
                adc0 + at, adc0 + plane + at, adc1 + at, adc1 + plane + at, place, floor, nan_mask,
                x0 + to, x1 + to, g0 + by, g1 + by, w0 + to, w1 + to,
            )  # fmt: skip
        place += _RECORD_BYTES


@njit(nogil=True, cache=True)
def loop(
    raw, n, m, p, q, k, limits, levels, words, floor, nan_mask, shift, excluded, largest, data, gain, mask
):
    """For any pixels and constants."""
    # Until they become results, the results' memory holds what is taken from each pixel.
    _spread(shift, n, p, q, data)
    _spread(shift, m, p, q, data[_1:])
    n, m, p, k = np.uint64(n), np.uint64(m), np.uint64(p), np.uint64(k)
    for i in range(np.uint64(q) - p):
        t = limits[k, i], limits[k, _1 + i], limits[k, _2 + i], limits[k, _3 + i]
        o = levels[k, i], levels[k, _1 + i], levels[k, _2 + i]
        s = levels[k, _3 + i], levels[k, _4 + i], levels[k, _5 + i]
        w = words[k, i], words[k, _1 + i], words[k, _2 + i]
        a, level = np.int32(raw[n, _SIGNAL, p + i]), np.int32(raw[n, _LEVEL, p + i])
        data[i], gain[i], mask[i] = _sample(a, level, t, o, s, w, data[i], floor, nan_mask, excluded, largest)
        a, level = np.int32(raw[m, _SIGNAL, p + i]), np.int32(raw[m, _LEVEL, p + i])
        data[_1 + i], gain[_1 + i], mask[_1 + i] = _sample(
            a, level, t, o, s, w, data[_1 + i], floor, nan_mask, excluded, largest
        )


@njit(nogil=True, cache=True)
def _spread(shift, n, p, q, taken):
    """Shifts of frame n, if there are any, at each of the pixels p to q."""
    for i in range(q - p):
        taken[i] = shift[n, (p + i) // LANES] if shift.shape[0] else np.float32(0)


@njit(nogil=True, cache=True, inline="always")
def _sample(a, q, t, o, s, w, shift, floor, nan_mask, excluded, largest):
    switched = (q > t[0]) & (a >= t[2])
    low = switched & (q > t[1]) & (a >= t[3])
    word = choose(switched, low, w[0], w[1], w[2])
    # What | makes of two u4 has 8 bytes, which would be half as many pixels per instruction.
    word = np.uint32(word | (bits.VALUE_OUT_OF_RANGE if (a == 0) | (a >= ADC_MAX) else bits.NONE))
    signal = np.float32(a) - choose(switched, low, o[0], o[1], o[2])
    signal -= np.float32(0) if switched | ((word & excluded) != 0) else shift
    signal = floor if (switched & ~low) & (signal < floor) else signal
    signal *= choose(switched, low, s[0], s[1], s[2])
    size = np.abs(signal)
    word = np.uint32(word | (bits.NONE if size <= LARGEST else bits.VALUE_IS_NAN))
    word = np.uint32(word | (bits.VALUE_OUT_OF_RANGE if size > largest else bits.NONE))
    return hide(signal, word, nan_mask), np.uint8(switched) + np.uint8(low), word
