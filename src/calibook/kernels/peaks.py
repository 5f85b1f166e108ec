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
from math import erf, sqrt

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels.small_matrix import cholesky, solve
from calibook.kernels.spectra import Spectra

PEAKS = 5
"""From the noise to four photons."""
_D0, _DE, _W, _A = 0, 1, 2, 3
UNKNOWNS = _A + PEAKS

BACKGROUND = 1e-3
"""Counts per bin that are always expected, so that a stray one does not decide the fit."""
_LEAST = 1e-3  # events in a peak
_REACH = 6.0  # widths, beyond which a peak is nothing
_HITS = 600  # per side of 3 x 3 pixels
_LEAST_CHARGE = 0.004  # of a photon; less is noise
_RARE = 1e-4
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
    *,
    cloud: float = 0.0,
    second_line: tuple[float, float] | None = None,
    min_entries: int = 50,
) -> PeakFits:
    """Fit all spectra.

    spacing, noise: expected distance of peaks and width of the noise peak, in
        the unit of the data; the fit looks for the photon peak within 40 % of it
    cloud: sigma of the charge cloud over the pixel's side; 0 for no charge sharing
    second_line: (energy over that of the first, share of photons)
    min_entries: fewest samples above half of the expected spacing

    Raises BadParameter for options that can't be.
    """
    if not (spacing > 0 and noise > 0):
        raise BadParameter(f"expected spacing {spacing} and noise {noise}: both must be above 0")
    if not 0 <= cloud <= 0.5:
        raise BadParameter(f"charge cloud of {cloud} pixels: needs 0 to 0.5")
    if second_line is not None and not (second_line[0] > 0 and 0 <= second_line[1] < 1):
        raise BadParameter(f"second line {second_line}: needs an energy ratio above 0, a share from 0 to 1")
    cells, pixels = spectra.counts.shape[:2]
    values = np.full((cells, pixels, 2 * UNKNOWNS + 1), np.nan)
    status = np.zeros((cells, pixels), np.uint8)
    _fit_all(
        spectra.counts, spectra.centres, spectra.width, spacing, noise, min_entries,
        *_components(cloud, second_line), values, status,
    )  # fmt: skip
    errors = values[..., UNKNOWNS : 2 * UNKNOWNS]
    return PeakFits(
        position=values[..., _D0], position_error=errors[..., _D0],
        spacing=values[..., _DE], spacing_error=errors[..., _DE],
        width=values[..., _W], width_error=errors[..., _W],
        amplitude=values[..., _A:UNKNOWNS],
        deviance=values[..., -1], status=status,
    )  # fmt: skip


def _components(
    cloud: float, second_line: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(photons k, charge q, share_k(q)), each (component,)."""
    ratio, share = second_line or (1.0, 0.0)
    # A second line lies between nodes of a coarse grid.
    grid = 32 if second_line else 16
    one = np.zeros(int(np.ceil(max(1.0, ratio) * grid)) + 2)
    for charge, weight in _charges(cloud):
        for energy, part in ((1.0, 1 - share), (ratio, share)):
            # Split between two nodes so that the mean stays.
            node, rest = divmod(charge * energy * grid, 1)
            one[int(node)] += weight * part * (1 - rest)
            one[int(node) + 1] += weight * part * rest
    rows, spectrum = [], np.ones(1)
    for k in range(PEAKS):
        rows += [(k, node / grid, weight) for node, weight in enumerate(spectrum) if weight > _RARE]
        spectrum = np.convolve(spectrum, one)
    photons, places, weights = zip(*rows, strict=True)
    return np.array(photons), np.array(places), np.array(weights)


def _charges(cloud: float) -> list[tuple[float, float]]:
    """(charge of one photon that a pixel gets, how often), for hits on it and its neighbours."""
    if cloud == 0:
        return [(1.0, 1.0)]
    hits = (np.arange(_HITS) + 0.5) / _HITS * 3 - 1.5
    along = np.array(
        [(erf((0.5 - x) / cloud / sqrt(2)) + erf((0.5 + x) / cloud / sqrt(2))) / 2 for x in hits]
    )
    charge = np.outer(along, along).ravel()
    charge = charge[charge > _LEAST_CHARGE]
    counts, edges = np.histogram(charge, 400, (0, 1))
    means = np.histogram(charge, edges, weights=charge)[0][counts > 0] / counts[counts > 0]
    return list(zip(means.tolist(), (counts[counts > 0] / len(charge)).tolist(), strict=True))


@njit(nogil=True, cache=True)
def _fit_all(counts, x, h, spacing, noise, min_entries, peak, place, weight, values, status):
    bins = x.size
    expected, slopes = np.empty(bins), np.empty((UNKNOWNS, bins))
    information, lower = np.empty((UNKNOWNS, UNKNOWNS)), np.zeros((UNKNOWNS, UNKNOWNS))
    components = (peak, place, weight)
    scratch = (expected, slopes, information, lower)
    best = np.empty(UNKNOWNS)
    for c in range(counts.shape[0]):
        for p in range(counts.shape[1]):
            n = counts[c, p, 1:-1]
            if _entries_above(n, x, spacing / 2) < min_entries:
                status[c, p] = NO_ENTRIES
                continue
            _start(n, x, h, spacing, noise, best)
            status[c, p] = _fit(n, x, h, best, components, scratch, values[c, p, -1:])
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
    unknowns[_D0] = _highest(n, x, h, half, -spacing / 2, spacing / 2)
    photon = _highest(n, x, h, half, unknowns[_D0] + 0.6 * spacing, unknowns[_D0] + 1.4 * spacing)
    unknowns[_DE] = photon - unknowns[_D0]
    unknowns[_W] = noise
    for k in range(PEAKS):
        total = 0.0
        for i in range(n.size):
            if np.abs(x[i] - unknowns[_D0] - k * unknowns[_DE]) < unknowns[_DE] / 2:
                total += n[i]
        unknowns[_A + k] = total + 1.0


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
def _fit(n, x, h, unknowns, components, scratch, deviance):
    """Fisher scoring; `unknowns` go in as a guess and come out as the best. Returns the status."""
    expected, slopes, information, lower = scratch
    gradient, step, trial = np.empty(UNKNOWNS), np.empty(UNKNOWNS), np.empty(UNKNOWNS)
    damped = np.empty((UNKNOWNS, UNKNOWNS))
    damping = 1e-3
    _expect(unknowns, x, h, components, expected, slopes)
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
            _expect(trial, x, h, components, expected, slopes)
            then = _deviance(n, expected)
            if then <= now + 1e-9:
                break
            damping *= 10
            if damping > 1e8:
                return NOT_CONVERGED
        gained = now - then
        unknowns[:], now, damping = trial, then, max(damping / 10, 1e-9)
        if promised < _SMALL_STEP and gained < _SMALL_STEP:
            break
    else:
        return NOT_CONVERGED
    _inform(n, unknowns, expected, slopes, gradient, information)
    deviance[0] = now / (n.size - UNKNOWNS)
    possible = unknowns[_DE] > 2 * unknowns[_W] and unknowns[_A + 1] > 1
    return GOOD if possible and cholesky(information, lower) else IMPOSSIBLE


@njit(nogil=True, cache=True)
def _keep_possible(trial, before):
    """Halve the way to a width or spacing of nothing; amplitudes end there."""
    for a in (_DE, _W):
        trial[a] = max(trial[a], before[a] / 2)
    for k in range(PEAKS):
        trial[_A + k] = max(trial[_A + k], _LEAST)


@njit(nogil=True, cache=True)
def _expect(unknowns, x, h, components, expected, slopes):
    """Expected counts (bin,), and their derivatives (unknown, bin)."""
    peak, place, weight = components
    d0, de, w = unknowns[_D0], unknowns[_DE], unknowns[_W]
    expected[:] = BACKGROUND
    slopes[:] = 0.0
    norm = h / (w * np.sqrt(2 * np.pi))
    for c in range(peak.size):
        amplitude, centre = unknowns[_A + peak[c]], d0 + place[c] * de
        low = max(0, int(np.floor((centre - _REACH * w - x[0]) / h)))
        high = min(x.size, int(np.ceil((centre + _REACH * w - x[0]) / h)) + 1)
        for i in range(low, high):
            z = (x[i] - centre) / w
            part = weight[c] * norm * np.exp(-0.5 * z * z)
            full = amplitude * part
            expected[i] += full
            slopes[_A + peak[c], i] += part
            slopes[_D0, i] += full * z / w
            slopes[_DE, i] += place[c] * full * z / w
            slopes[_W, i] += full * (z * z - 1) / w


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
    for a in range(UNKNOWNS):
        for i in range(n.size):
            gradient[a] += (n[i] / expected[i] - 1.0) * slopes[a, i]
        for b in range(a + 1):
            total = 0.0
            for i in range(n.size):
                total += slopes[a, i] * slopes[b, i] / expected[i]
            information[a, b] = information[b, a] = total
    for a in range(_A, UNKNOWNS):
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
