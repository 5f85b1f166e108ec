"""Lines that begin with a hook, by least squares:

    y = intercept + slope * x + amplitude * exp(-(x - start) / decay),  x >= start

A pixel that the pulsed capacitor drove out of high gain is off its line of
medium gain at first, less and less so. The start is where the pixel's stage
changes; all else is free. Few pixels are worked on at a time, whose samples are
first put together: a fit looks at them many times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.kernels.analogue_gain import ADC_MAX
from calibook.kernels.checks import check_array
from calibook.kernels.lines import MAX_STEP
from calibook.kernels.small_matrix import cholesky, solve

DECAYS = (5.0, 15.0, 45.0, 135.0)
"""Where fits begin; the best of them goes on [steps]."""
SHORTEST_DECAY = 1.0
LONGEST_DECAY = 0.25
"""Of the steps from the first to the last sample: a longer hook can't be told from the line."""
HOOK_ENDS = 2.0
"""Decays from its start; so far there have to be samples enough, or nothing is known of it."""
UNKNOWNS = 4
_INTERCEPT, _SLOPE, _AMPLITUDE, _DECAY = range(UNKNOWNS)
_MOST_TRIALS = 40
_SMALL_GAIN = 1e-10  # of the sum of squares, relative
_TILE = 64


@dataclass(frozen=True)
class HookedLines:
    """f8 arrays (pixel,), NaN where there is no such line; points is u4.

    slope, intercept, amplitude, decay: see above; the intercept is at x = 0 [ADU, steps]
    *_error: standard deviations, from the scatter round the line
    deviation: root mean square of that scatter, from n - 4 degrees of freedom [ADU]
    """

    slope: np.ndarray
    intercept: np.ndarray
    amplitude: np.ndarray
    decay: np.ndarray
    slope_error: np.ndarray
    intercept_error: np.ndarray
    amplitude_error: np.ndarray
    decay_error: np.ndarray
    deviation: np.ndarray
    points: np.ndarray


def fit_hooked_lines(
    raw: np.ndarray,
    steps: np.ndarray,
    threshold: np.ndarray,
    window: np.ndarray,
    min_points: int = 20,
) -> HookedLines:
    """Fit the samples of medium gain of one memory cell, pixel by pixel.

    raw: u2 (frame, 2, pixel), signal and gain plane
    steps: integers (frame,), x of each frame, at most MAX_STEP
    threshold: u2 (2, pixel), as of `pack_thresholds`
    window: u2 (2, pixel), where the hook starts, and the step after the line's last
    min_points: of fewer, in all or in the hook, there is no fit

    Samples at either end of the ADC's range don't count. A fit whose decay
    leaves the range from SHORTEST_DECAY to LONGEST_DECAY is none.
    """
    pixels = raw.shape[2]
    check_array("raw", raw, "u2", (len(raw), 2, pixels))
    check_array("threshold", threshold, "u2", (2, pixels))
    check_array("window", window, "u2", (2, pixels))
    steps = np.asarray(steps, np.int64)
    if steps.shape != raw.shape[:1] or (steps.size and not 0 <= steps.min() <= steps.max() <= MAX_STEP):
        raise ValueError(f"steps must be one per frame, from 0 to {MAX_STEP}")
    values, errors = np.full((UNKNOWNS, pixels), np.nan), np.full((UNKNOWNS, pixels), np.nan)
    deviation, points = np.full(pixels, np.nan), np.zeros(pixels, np.uint32)
    least = max(min_points, UNKNOWNS + 1)
    _fit_all(raw, steps, threshold, window, least, np.array(DECAYS), values, errors, deviation, points)
    return HookedLines(
        values[_SLOPE], values[_INTERCEPT], values[_AMPLITUDE], values[_DECAY],
        errors[_SLOPE], errors[_INTERCEPT], errors[_AMPLITUDE], errors[_DECAY], deviation, points,
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _fit_all(raw, steps, threshold, window, least, decays, values, errors, deviation, points):
    frames, pixels = raw.shape[0], raw.shape[2]
    x, y = np.empty((_TILE, frames), np.int64), np.empty((_TILE, frames))
    count = np.empty(_TILE, np.int64)
    powers = np.empty(MAX_STEP + 1)
    for a in range(0, pixels, _TILE):
        size = min(_TILE, pixels - a)
        _gather(raw, steps, threshold, window, a, size, x, y, count)
        for i in range(size):
            n, p = count[i], a + i
            points[p] = n
            if n >= least:
                deviation[p] = _fit(
                    x[i, :n], y[i, :n], np.float64(window[0, p]), least, decays, powers,
                    values[:, p], errors[:, p],
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _gather(raw, steps, threshold, window, a, size, x, y, count):
    """Samples of the pixels a to a + size: steps after the start, signals, and how many."""
    count[:] = 0
    for n in range(raw.shape[0]):
        step = steps[n]
        for i in range(size):
            p = a + i
            adc, level = raw[n, 0, p], raw[n, 1, p]
            medium = (level > threshold[0, p]) & (level <= threshold[1, p])
            if medium & (step >= window[0, p]) & (step < window[1, p]) & (adc != 0) & (adc < ADC_MAX):
                x[i, count[i]], y[i, count[i]] = step - np.int64(window[0, p]), adc
                count[i] += 1


@njit(nogil=True, cache=True)
def _fit(x, y, start, least, decays, powers, values, errors):
    """Returns the scatter; NaN, and nothing else is set, where there is no fit."""
    scale = np.float64(x.max())
    if not LONGEST_DECAY * scale > SHORTEST_DECAY:
        return np.nan
    level = y.mean()  # taken off, so that no digits are lost
    y = y - level
    found, trial = np.empty(UNKNOWNS), np.empty(UNKNOWNS)
    matrix, lower = np.empty((UNKNOWNS, UNKNOWNS)), np.empty((UNKNOWNS, UNKNOWNS))
    gradient, step = np.empty(UNKNOWNS), np.empty(UNKNOWNS)
    if not _begin(x, y, scale, decays, powers, matrix, lower, gradient, trial, found):
        return np.nan
    squares = _inform(x, y, scale, found, powers, matrix, gradient)
    squares, converged = _improve(x, y, scale, found, trial, powers, matrix, lower, gradient, step, squares)
    decay = np.exp(found[_DECAY])
    if not (converged & (decay > SHORTEST_DECAY) & (decay < LONGEST_DECAY * scale)):
        return np.nan
    if (x <= HOOK_ENDS * decay).sum() < least or not cholesky(matrix, lower):
        return np.nan
    scatter = squares / (x.size - UNKNOWNS)
    _errors(lower, scatter, start, scale, errors)
    values[_SLOPE] = found[_SLOPE] / scale
    values[_INTERCEPT] = level + found[_INTERCEPT] - values[_SLOPE] * start
    values[_AMPLITUDE], values[_DECAY] = found[_AMPLITUDE], decay
    errors[_DECAY] *= decay
    return np.sqrt(scatter)


@njit(nogil=True, cache=True)
def _begin(x, y, scale, decays, powers, matrix, lower, gradient, trial, found):
    """The best line for each of some decays, which is linear in all else; False if there is none."""
    best = np.inf
    for decay in decays:
        if decay < LONGEST_DECAY * scale:
            trial[:] = 0.0
            trial[_DECAY] = np.log(decay)
            _inform(x, y, scale, trial, powers, matrix, gradient)
            if cholesky(matrix[:_DECAY, :_DECAY], lower[:_DECAY, :_DECAY]):
                solve(lower[:_DECAY, :_DECAY], gradient[:_DECAY], trial[:_DECAY])
                # What is left of the squares is the same for all decays, but for this.
                left = 0.0
                for i in range(_DECAY):
                    left -= trial[i] * gradient[i]
                if left < best:
                    best = left
                    found[:] = trial
    return best < np.inf


@njit(nogil=True, cache=True)
def _improve(x, y, scale, found, trial, powers, matrix, lower, gradient, step, squares):
    """Levenberg's and Marquardt's steps, until they gain next to nothing: (sum of squares, converged).

    matrix, gradient: of `found`, and so they are in the end
    """
    damping = 1e-4
    damped = np.empty_like(matrix)
    next_matrix, next_gradient = np.empty_like(matrix), np.empty_like(gradient)
    for _ in range(_MOST_TRIALS):
        damped[:] = matrix
        for i in range(UNKNOWNS):
            damped[i, i] += damping * matrix[i, i]
        if not cholesky(damped, lower):
            return squares, False
        solve(lower, gradient, step)
        trial[:] = found + step
        trial[_DECAY] = min(max(trial[_DECAY], found[_DECAY] - 1.0), found[_DECAY] + 1.0)
        left = _inform(x, y, scale, trial, powers, next_matrix, next_gradient)
        if left <= squares:
            gain = squares - left
            found[:], matrix[:], gradient[:] = trial, next_matrix, next_gradient
            squares = left
            damping *= 0.1
            if gain <= _SMALL_GAIN * squares:
                return squares, True
        else:
            damping *= 10.0
            if damping > 1e6:
                return squares, True  # no better place can be told from this one
    return squares, False


@njit(nogil=True, cache=True)
def _inform(x, y, scale, unknowns, powers, matrix, gradient):
    """Fill the normal matrix and the gradient; returns the sum of squares.

    x: steps after the start, at most `scale`
    unknowns: level at the start, slope per `scale` steps, amplitude, logarithm of the decay
    """
    level, slope, amplitude = unknowns[_INTERCEPT], unknowns[_SLOPE], unknowns[_AMPLITUDE]
    decay = np.exp(unknowns[_DECAY])
    _fill_powers(np.exp(-1.0 / decay), int(scale), powers)
    matrix[:], gradient[:] = 0.0, 0.0
    squares = 0.0
    for i in range(x.size):
        z, e = x[i] / scale, powers[x[i]]
        d = amplitude * (x[i] / decay) * e
        r = y[i] - (level + slope * z + amplitude * e)
        squares += r * r
        gradient[0] += r
        gradient[1] += r * z
        gradient[2] += r * e
        gradient[3] += r * d
        matrix[1, 0] += z
        matrix[1, 1] += z * z
        matrix[2, 0] += e
        matrix[2, 1] += e * z
        matrix[2, 2] += e * e
        matrix[3, 0] += d
        matrix[3, 1] += d * z
        matrix[3, 2] += d * e
        matrix[3, 3] += d * d
    matrix[0, 0] = x.size
    return squares


@njit(nogil=True, cache=True)
def _fill_powers(ratio, last, powers):
    powers[0] = 1.0
    for k in range(1, last + 1):
        powers[k] = powers[k - 1] * ratio


@njit(nogil=True, cache=True)
def _errors(lower, scatter, start, scale, errors):
    """Standard deviations by the inverse of the normal matrix; the intercept's at x = 0."""
    unit, row = np.empty(UNKNOWNS), np.empty(UNKNOWNS)
    common = 0.0
    for i in range(UNKNOWNS):
        unit[:] = 0.0
        unit[i] = 1.0
        solve(lower, unit, row)
        errors[i] = np.sqrt(scatter * row[i])
        if i == _SLOPE:
            common = scatter * row[_INTERCEPT]
    back = start / scale
    variance = errors[_INTERCEPT] ** 2 + back * back * errors[_SLOPE] ** 2 - 2 * back * common
    errors[_INTERCEPT] = np.sqrt(max(variance, 0.0))
    errors[_SLOPE] /= scale
