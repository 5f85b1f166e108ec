"""Fluorescence as a pixel sees it: photons anywhere, their charge cut by borders, noise."""

from math import erf, sqrt

import numpy as np

from calibook.kernels.spectra import Spectra

_GRID = np.linspace(-8, 8, 16001)
_CUMULATIVE = np.array([(1 + erf(z / sqrt(2))) / 2 for z in _GRID])


def _cumulative(z):
    """The normal distribution's, to 1e-7: the table's step squared, over 8, times its curvature."""
    return np.interp(z, _GRID, _CUMULATIVE)


def photon_charges(rng, photons, cloud, beside=False):
    """Part of each photon's charge that a pixel gets, for hits on it and its eight neighbours.

    beside: no light falls on the pixel's own row
    """
    if cloud == 0:
        return np.ones(photons)
    hits = rng.uniform(-1.5, 1.5, (2, photons))
    lit = np.abs(hits[0]) > 0.5 if beside else 1.0
    return lit * np.prod(
        [_cumulative((0.5 - x) / cloud) - _cumulative((-0.5 - x) / cloud) for x in hits], axis=0
    )


def signals(rng, frames, pixels, mean, spacing, noise, cloud=0.0, second_line=None, beside=False):
    """f4 (frame, pixel), ADU; mean: photons that hit a pixel per frame; spacing may be (pixel,)."""
    hits = rng.poisson(mean * (9 if cloud else 1), (frames, pixels))
    charge = photon_charges(rng, hits.sum(), cloud, beside)
    if second_line:
        charge = charge * np.where(rng.random(charge.size) < second_line[1], second_line[0], 1)
    where = np.repeat(np.arange(hits.size), hits.ravel())
    total = np.bincount(where, charge, minlength=hits.size).reshape(hits.shape)
    return (spacing * total + rng.normal(0, noise, total.shape)).astype("f4")


def spectra(frames, pixels, seed=0, bins=150, **scene):
    found, rng = Spectra.zeros(1, pixels, -60, 240, bins), np.random.default_rng(seed)
    for _ in range(frames // 100):
        data = signals(rng, 100, pixels, **scene)
        found.add(data, np.zeros(data.shape, "u1"), np.zeros(data.shape, "u4"), np.zeros(100, int))
    return found
