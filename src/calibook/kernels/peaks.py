"""Noise and photon peaks of single-pixel spectra, by maximum likelihood of Poisson counts.

A bin at x of width h is expected to hold

    background + h * sum over k, q of A_k * share_k(q) * Gauss(x; d0 + q * dE, w)

where A_k events have the charge of k photons in whole or in part, and share_k
tells how often k photons leave the charge q in the pixel, in units of one
photon. For one photon that follows from where it hits, evenly over the pixel
and its neighbours, and from the size of the Gaussian charge cloud that the
borders cut; for k it is the k-fold convolution. Leaving the cut charges out
pulls the photon peak down by several per cent at a cloud of 5 % of a pixel.

Free are d0, dE, w and the A_k. The fit is Fisher scoring with damping; the
errors are those of the Fisher information. Chi-square with errors from the
counts would pull peaks down where counts are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels.peak_model import D0, DE, PEAKS, UNKNOWNS, A, PeakModel, W, expect
from calibook.kernels.small_matrix import cholesky, solve
from calibook.kernels.spectra import Spectra

_LEAST = 1e-3  # events in a peak
_MOST_STEPS = 60
_SMALL_STEP = 1e-4  # expected gain in 2 log(likelihood): a hundredth of an error

GOOD, NO_ENTRIES, NOT_CONVERGED, IMPOSSIBLE = range(4)
"""Status of a fit. IMPOSSIBLE: the likelihood's best is no spectrum of photons."""


@dataclass(frozen=True)
class PeakFits:
    """Results, arrays (cell, pixel) of f8 if not said otherwise; NaN where status is not GOOD.

    position: of the noise peak; spacing: of the peaks; width: of all peaks; in the unit of the data
    position_error, spacing_error, width_error: standard deviations
    amplitude: (cell, pixel, PEAKS), events with so many photons
    deviance: -2 log(likelihood ratio to the counts themselves) over degrees of
        freedom; near 1 for a good fit of many counts, less for few
    status: u1
    """

    position: np.ndarray
    position_error: np.ndarray
    spacing: np.ndarray
    spacing_error: np.ndarray
    width: np.ndarray
    width_error: np.ndarray
    amplitude: np.ndarray
    deviance: np.ndarray
    status: np.ndarray


def fit_peaks(
    spectra: Spectra,
    spacing: float,
    noise: float,
    model: PeakModel | None = None,
    *,
    min_entries: int = 50,
) -> PeakFits:
    """Fit all spectra.

    spacing, noise: expected distance of peaks and width of the noise peak, in
        the unit of the data; the fit looks for the photon peak within 40 % of it
    model: charge sharing and lines; by default none, and one
    min_entries: fewest samples above half of the expected spacing

    Raises BadParameter for options that can't be.
    """
    if not (spacing > 0 and noise > 0):
        raise BadParameter(f"expected spacing {spacing} and noise {noise}: both must be above 0")
    model = model or PeakModel()
    cells, pixels = spectra.counts.shape[:2]
    values = np.full((cells, pixels, 2 * UNKNOWNS + 1), np.nan)
    status = np.zeros((cells, pixels), np.uint8)
    _fit_all(
        spectra.counts, spectra.centres, spectra.width, spacing, noise, min_entries,
        model.shares, values, status,
    )  # fmt: skip
    errors = values[..., UNKNOWNS : 2 * UNKNOWNS]
    return PeakFits(
        position=values[..., D0], position_error=errors[..., D0],
        spacing=values[..., DE], spacing_error=errors[..., DE],
        width=values[..., W], width_error=errors[..., W],
        amplitude=values[..., A:UNKNOWNS],
        deviance=values[..., -1], status=status,
    )  # fmt: skip


def expected_counts(
    spectra: Spectra, fits: PeakFits, cell: int, pixel: int, model: PeakModel | None = None
) -> np.ndarray:
    """Counts that a pixel's fit expects: f8 (bin,), NaN where there is no fit.

    Arguments as of `fit_peaks`, which made the fits.
    """
    x = spectra.centres
    at = cell, pixel
    unknowns = np.array([fits.position[at], fits.spacing[at], fits.width[at], *fits.amplitude[at]])
    if not np.isfinite(unknowns).all():
        return np.full(x.size, np.nan)
    expected = np.empty(x.size)
    model = model or PeakModel()
    slopes = np.empty((UNKNOWNS, x.size))
    expect(unknowns, x, spectra.width, model.shares, expected, slopes)
    return expected


@njit(nogil=True, cache=True)
def _fit_all(counts, x, h, spacing, noise, min_entries, shares, values, status):
    bins = x.size
    expected, slopes = np.empty(bins), np.empty((UNKNOWNS, bins))
    information, lower = np.empty((UNKNOWNS, UNKNOWNS)), np.zeros((UNKNOWNS, UNKNOWNS))
    scratch = (expected, slopes, information, lower)
    best = np.empty(UNKNOWNS)
    for c in range(counts.shape[0]):
        for p in range(counts.shape[1]):
            n = counts[c, p, 1:-1]
            if _entries_above(n, x, spacing / 2) < min_entries:
                status[c, p] = NO_ENTRIES
                continue
            _start(n, x, h, spacing, noise, best)
            status[c, p] = _fit(n, x, h, best, shares, scratch, values[c, p, -1:])
            if status[c, p] == GOOD:
                values[c, p, :UNKNOWNS] = best
                _errors(lower, values[c, p, UNKNOWNS : 2 * UNKNOWNS])
            else:
                values[c, p, -1] = np.nan


@njit(nogil=True, cache=True)
def _entries_above(n, x, limit):
    total = 0
    for i in range(n.size):
        if x[i] > limit:
            total += n[i]
    return total


@njit(nogil=True, cache=True)
def _start(n, x, h, spacing, noise, unknowns):
    """First guess: the highest places of the smoothed spectrum, the counts around them."""
    half = max(1, int(noise / h))
    unknowns[D0] = _highest(n, x, h, half, -spacing / 2, spacing / 2)
    photon = _highest(n, x, h, half, unknowns[D0] + 0.6 * spacing, unknowns[D0] + 1.4 * spacing)
    unknowns[DE] = photon - unknowns[D0]
    unknowns[W] = noise
    for k in range(PEAKS):
        total = 0.0
        for i in range(n.size):
            if np.abs(x[i] - unknowns[D0] - k * unknowns[DE]) < unknowns[DE] / 2:
                total += n[i]
        unknowns[A + k] = total + 1.0


@njit(nogil=True, cache=True)
def _highest(n, x, h, half, low, high):
    """Centre of the window of 2 half + 1 bins, between low and high, that holds most; its mean place."""
    best, where = -1.0, (low + high) / 2
    for i in range(n.size):
        if low <= x[i] <= high:
            total, moment = 0.0, 0.0
            for j in range(max(0, i - half), min(n.size, i + half + 1)):
                total += n[j]
                moment += n[j] * x[j]
            if total > best:
                best = total
                where = moment / total if total > 0 else x[i]
    return where


@njit(nogil=True, cache=True)
def _fit(n, x, h, unknowns, shares, scratch, deviance):
    """Fisher scoring; `unknowns` go in as a guess and come out as the best. Returns the status."""
    expected, slopes, information, lower = scratch
    gradient, step, trial = np.empty(UNKNOWNS), np.empty(UNKNOWNS), np.empty(UNKNOWNS)
    damped = np.empty((UNKNOWNS, UNKNOWNS))
    damping = 1e-3
    expect(unknowns, x, h, shares, expected, slopes)
    now = _deviance(n, expected)
    for _ in range(_MOST_STEPS):
        _inform(n, unknowns, expected, slopes, gradient, information)
        while True:
            for a in range(UNKNOWNS):
                for b in range(UNKNOWNS):
                    damped[a, b] = information[a, b] * ((1 + damping) if a == b else 1.0)
            if not cholesky(damped, lower):
                return IMPOSSIBLE
            solve(lower, gradient, step)
            promised = 0.0
            for a in range(UNKNOWNS):
                trial[a] = unknowns[a] + step[a]
                promised += step[a] * gradient[a]
            _keep_possible(trial, unknowns)
            expect(trial, x, h, shares, expected, slopes)
            then = _deviance(n, expected)
            if then <= now + 1e-6:
                break
            damping *= 10
            if damping > 1e8:
                return NOT_CONVERGED
        gained = now - then
        unknowns[:], now = trial, then
        # Curvature is that of expected counts: where few were counted steps may go twice too far, to and fro.
        damping = max(damping / 10, 1e-4) if gained > promised / 2 else max(damping * 4, 0.3)
        if promised < _SMALL_STEP and gained < _SMALL_STEP:
            break
    else:
        return NOT_CONVERGED
    _inform(n, unknowns, expected, slopes, gradient, information)
    deviance[0] = now / (n.size - UNKNOWNS)
    possible = unknowns[DE] > 2 * unknowns[W] and unknowns[A + 1] > 1
    return GOOD if possible and cholesky(information, lower) else IMPOSSIBLE


@njit(nogil=True, cache=True)
def _keep_possible(trial, before):
    """Halve the way to a width or spacing of nothing; amplitudes end there."""
    for a in (DE, W):
        trial[a] = max(trial[a], before[a] / 2)
    for k in range(PEAKS):
        trial[A + k] = max(trial[A + k], _LEAST)


@njit(nogil=True, cache=True)
def _deviance(n, expected):
    """2 sum(expected - n + n log(n / expected))"""
    total = 0.0
    for i in range(n.size):
        total += expected[i] - n[i]
        if n[i] > 0:
            total += n[i] * np.log(n[i] / expected[i])
    return 2 * total


@njit(nogil=True, cache=True)
def _inform(n, unknowns, expected, slopes, gradient, information):
    """Gradient of the log(likelihood), Fisher information; a fixed unknown keeps out of both."""
    gradient[:] = 0.0
    information[:] = 0.0
    of_bin = np.empty(UNKNOWNS)
    for i in range(n.size):
        # One bin's slopes side by side: then there are eight sums at a time.
        for a in range(UNKNOWNS):
            of_bin[a] = slopes[a, i]
        missing, certainty = n[i] / expected[i] - 1.0, 1.0 / expected[i]
        for a in range(UNKNOWNS):
            gradient[a] += missing * of_bin[a]
            weighted = certainty * of_bin[a]
            for b in range(UNKNOWNS):
                information[a, b] += weighted * of_bin[b]
    for a in range(A, UNKNOWNS):
        outside = information[a, a] <= 0  # of the spectrum
        if outside or (unknowns[a] <= _LEAST and gradient[a] < 0):
            information[a, :] = 0.0
            information[:, a] = 0.0
            information[a, a] = 1.0
            gradient[a] = 0.0


@njit(nogil=True, cache=True)
def _errors(lower, errors):
    """Square roots of the inverse information's diagonal."""
    unit, column = np.zeros(UNKNOWNS), np.empty(UNKNOWNS)
    for a in range(UNKNOWNS):
        unit[:] = 0.0
        unit[a] = 1.0
        solve(lower, unit, column)
        errors[a] = np.sqrt(column[a])
