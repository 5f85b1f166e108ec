"""Photons to charge: how many hit a pixel, and how its neighbours share them. numba, serial."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from calibook.simulation.random_numbers import poisson, random_bits, standard_normal, uniform
from calibook.simulation.silicon import BINS

FEW = 16
"""Up to so many photons in a pixel each has its own place and line; more share as they do on average."""

_LAST, _SHIFT = np.uint64(BINS - 1), np.uint64(32)


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
    has_many = False
    before, after = _lost_on_both_sides(lost)
    for row in range(rows):
        for column in range(columns):
            state, k = poisson(state, np.float64(expected[row, column]) * pulse)
            photons[row, column] = k
            if k > FEW:
                state, beta = _many_beta(state, k, beta_share)
                many[row + 1, column + 1] = (k - beta) * energy + beta * beta_energy
                has_many = True
            elif k > 0:
                state = _share_few(
                    state, k, energy, beta_energy, beta_share, before, after, collected, row, column
                )
    if has_many:
        _share_many(many, np.float32(lost.mean()))
        collected += many
    charge[:] = collected[1:-1, 1:-1]


@njit(nogil=True, cache=True)
def _lost_on_both_sides(lost):
    """Share of charge that crosses the border before and that after the photon, by its place: f4 (BINS,)."""
    before, after = np.zeros(BINS, np.float32), np.zeros(BINS, np.float32)
    before[: BINS // 2] = lost[: BINS // 2]
    after[BINS // 2 :] = lost[: BINS // 2][::-1]
    return before, after


@njit(nogil=True, cache=True)
def _many_beta(state, k, share):
    """How many of many photons are K-beta: binomial, here as rounded normal."""
    if share <= 0.0:
        return state, 0.0
    state, z = standard_normal(state)
    beta = np.rint(k * share + z * math.sqrt(k * share * (1.0 - share)))
    return state, min(max(beta, 0.0), np.float64(k))


@njit(nogil=True, cache=True, inline="always")
def _share_few(state, k, energy, beta_energy, beta_share, before, after, collected, row, column):
    """Charge of k photons, each at a place of its own, to the 3 x 3 pixels from row, column on.

    Summed in registers and without branches: where a photon falls can't be guessed.
    """
    a00 = a01 = a02 = a10 = a11 = a12 = a20 = a21 = a22 = 0.0
    for _ in range(k):
        kev = energy
        if beta_share > 0.0:
            state, u = uniform(state)
            kev = beta_energy if u < beta_share else energy
        state, place = random_bits(state)
        x, y = place & _LAST, (place >> _SHIFT) & _LAST
        left, right = np.float64(before[x]), np.float64(after[x])
        middle = 1.0 - left - right
        top, bottom = kev * before[y], kev * after[y]
        centre = kev - top - bottom
        a00, a01, a02 = a00 + top * left, a01 + top * middle, a02 + top * right
        a10, a11, a12 = a10 + centre * left, a11 + centre * middle, a12 + centre * right
        a20, a21, a22 = a20 + bottom * left, a21 + bottom * middle, a22 + bottom * right
    _add_row(collected, row, column, a00, a01, a02)
    _add_row(collected, row + 1, column, a10, a11, a12)
    _add_row(collected, row + 2, column, a20, a21, a22)
    return state


@njit(nogil=True, cache=True, inline="always")
def _add_row(collected, row, column, left, middle, right):
    collected[row, column] += np.float32(left)
    collected[row, column + 1] += np.float32(middle)
    collected[row, column + 2] += np.float32(right)


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
