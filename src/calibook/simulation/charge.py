"""Photons to charge: how many hit a pixel, and how its neighbours share them. numba, serial."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from calibook.simulation.random_numbers import poisson, random_bits, standard_normal, uniform
from calibook.simulation.silicon import BINS

FEW = 16
"""Up to so many photons in a pixel each has its own place and line; more share as they do on average."""

_LAST, _HALF = np.uint64(BINS - 1), np.uint64(BINS // 2)
_SHIFT = np.uint64(32)


@njit(nogil=True, cache=True)
def collect(state, expected, pulse, energy, beta_energy, beta_share, lost, photons, charge):
    """One frame: draw photons and let their charge drift to the pixels.

    state: u8, for random numbers
    expected: f4 (slow_scan, fast_scan), photons of a pulse of mean energy
    pulse: energy of the pulse in units of the mean
    energy, beta_energy: keV of a photon, and of the share beta_share of all photons
    lost: f4 (BINS,), see `silicon.lost_at_border`; all 0 for no charge sharing
    photons: u4 (slow_scan, fast_scan), overwritten: photons that hit the pixel
    charge: f4, same shape, overwritten: what it collected, keV. What crosses the
        module's border is lost
    """
    rows, columns = expected.shape
    # A rim of pixels takes what crosses the border.
    collected = np.zeros((rows + 2, columns + 2), np.float32)
    many = np.zeros((rows + 2, columns + 2), np.float32)
    for row in range(rows):
        for column in range(columns):
            state, k = poisson(state, np.float64(expected[row, column]) * pulse)
            photons[row, column] = k
            if k > FEW:
                state, beta = _many_beta(state, k, beta_share)
                many[row + 1, column + 1] = (k - beta) * energy + beta * beta_energy
                continue
            for _ in range(k):
                kev = energy
                if beta_share > 0.0:
                    state, u = uniform(state)
                    kev = beta_energy if u < beta_share else energy
                state, place = random_bits(state)
                _share_one(collected, row, column, kev, lost, place)
    _share_many(many, np.float32(lost.mean()))
    charge[:] = collected[1:-1, 1:-1] + many[1:-1, 1:-1]


@njit(nogil=True, cache=True)
def _many_beta(state, k, share):
    """How many of many photons are K-beta: binomial, here as rounded normal."""
    if share <= 0.0:
        return state, 0.0
    state, z = standard_normal(state)
    beta = np.rint(k * share + z * math.sqrt(k * share * (1.0 - share)))
    return state, min(max(beta, 0.0), np.float64(k))


@njit(nogil=True, cache=True)
def _share_one(collected, row, column, kev, lost, place):
    """Charge of one photon: its pixel's, and what crosses the nearest borders."""
    x, y = place & _LAST, (place >> _SHIFT) & _LAST
    dx, dy = 2 if x >= _HALF else 0, 2 if y >= _HALF else 0
    part_x, part_y = np.float64(lost[min(x, _LAST - x)]), np.float64(lost[min(y, _LAST - y)])
    stays_x, stays_y = 1.0 - part_x, 1.0 - part_y
    collected[row + 1, column + 1] += kev * stays_x * stays_y
    if part_x > 0.0:
        collected[row + 1, column + dx] += kev * part_x * stays_y
    if part_y > 0.0:
        collected[row + dy, column + 1] += kev * stays_x * part_y
        collected[row + dy, column + dx] += kev * part_x * part_y


@njit(nogil=True, cache=True)
def _share_many(charge, part):
    """Charge of many photons per pixel, shared as it is on average; in place.

    charge: f4 (slow_scan + 2, fast_scan + 2)
    part: share that crosses each border
    """
    stays = np.float32(1.0) - np.float32(2.0) * part
    rows, columns = charge.shape
    along = np.zeros_like(charge)
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            along[row, column] = stays * charge[row, column] + part * (
                charge[row, column - 1] + charge[row, column + 1]
            )
    for row in range(1, rows - 1):
        for column in range(1, columns - 1):
            charge[row, column] = stays * along[row, column] + part * (
                along[row - 1, column] + along[row + 1, column]
            )
