"""The spectrum that photons leave in a pixel: lines, charge that the pixel's borders cut, and noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import erf, sqrt

import numpy as np
from numba import njit

from calibook.errors import BadParameter

PEAKS = 5
"""From the noise to four photons."""
D0, DE, W, A = 0, 1, 2, 3
"""Where a fit's unknowns are: position of the noise peak, spacing, width, events with 0, 1, ... photons."""
UNKNOWNS = A + PEAKS
NODES_PER_PHOTON = 32
"""Charges are on a grid, between whose nodes a charge is divided. With 16 of them gains were 0.03 % lower."""
BACKGROUND = 1e-3
"""Counts per bin that are always expected, so that a stray one does not decide the fit."""

_REACH = 6.0  # widths, beyond which a peak is nothing
_HITS = 600  # per side of 3 x 3 pixels
_LEAST_CHARGE = 0.004  # of a photon; less is noise
_RARE = 1e-4


@dataclass(frozen=True)
class PeakModel:
    """What share_k(q) is, see `peaks`.

    cloud: sigma of the charge cloud over the pixel's side; 0 for no charge sharing
    second_line: (energy over that of the first, share of photons); None for one line

    Raises BadParameter for what can't be.
    """

    cloud: float = 0.0
    second_line: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.cloud <= 0.5:
            raise BadParameter(f"charge cloud of {self.cloud} pixels: needs 0 to 0.5")
        line = self.second_line
        if line is not None and not (line[0] > 0 and 0 <= line[1] < 1):
            raise BadParameter(f"second line {line}: needs an energy ratio above 0, a share from 0 to 1")

    @cached_property
    def shares(self) -> np.ndarray:
        """How often k photons leave the charge node / NODES_PER_PHOTON: f8 (PEAKS, node)."""
        ratio, share = self.second_line or (1.0, 0.0)
        one = np.zeros(int(np.ceil(max(1.0, ratio) * NODES_PER_PHOTON)) + 2)
        for charge, weight in _charges(self.cloud):
            for energy, part in ((1.0, 1 - share), (ratio, share)):
                # Split between two nodes so that the mean stays.
                node, rest = divmod(charge * energy * NODES_PER_PHOTON, 1)
                one[int(node)] += weight * part * (1 - rest)
                one[int(node) + 1] += weight * part * rest
        found, spectrum = np.zeros((PEAKS, (PEAKS - 1) * (len(one) - 1) + 1)), np.ones(1)
        for k in range(PEAKS):
            found[k, : len(spectrum)] = np.where(spectrum > _RARE, spectrum, 0)
            spectrum = np.convolve(spectrum, one)
        return found


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
def expect(unknowns, x, h, shares, expected, slopes):
    """Expected counts (bin,), and their derivatives (unknown, bin); both overwritten.

    unknowns: (UNKNOWNS,); x: (bin,), centres of the bins; h: their width
    shares: of a `PeakModel`
    """
    expected[:] = BACKGROUND
    slopes[:] = 0.0
    bell = np.empty(x.size)
    reach = _REACH * unknowns[W]
    for node in range(shares.shape[1]):
        place, amplitude = node / NODES_PER_PHOTON, 0.0
        for k in range(PEAKS):
            amplitude += unknowns[A + k] * shares[k, node]
        centre = unknowns[D0] + place * unknowns[DE]
        low = max(0, int(np.floor((centre - reach - x[0]) / h)))
        high = min(x.size, int(np.ceil((centre + reach - x[0]) / h)) + 1)
        if amplitude == 0.0 or low >= high:
            continue
        _add_peak(
            x[low:high], h, centre, unknowns[W], amplitude, place, bell[low:high], expected[low:high],
            slopes[D0, low:high], slopes[DE, low:high], slopes[W, low:high],
        )  # fmt: skip
        for k in range(PEAKS):
            if shares[k, node] > 0.0:
                _add(bell[low:high], shares[k, node], slopes[A + k, low:high])


@njit(nogil=True, cache=True)
def _add_peak(x, h, centre, w, amplitude, place, bell, expected, to_d0, to_de, to_w):
    """One peak of `amplitude` counts; `bell` gets its shape. Without branches, so that it vectorises."""
    norm, per_w = h / (w * np.sqrt(2 * np.pi)), 1.0 / w
    for i in range(x.size):
        z = (x[i] - centre) * per_w
        bell[i] = norm * _bell(z)
        full = amplitude * bell[i]
        slope = full * z * per_w
        expected[i] += full
        to_d0[i] += slope
        to_de[i] += place * slope
        to_w[i] += full * (z * z - 1.0) * per_w


@njit(nogil=True, cache=True)
def _add(bell, factor, total):
    for i in range(bell.size):
        total[i] += factor * bell[i]


@njit(nogil=True, cache=True)
def _bell(z):
    """exp(-z z / 2) to 1e-6 for |z| < 7: a short series to the 64th power, which vectorises."""
    t = z * z * (-0.5 / 64)
    e = 1 + t * (1 + t * (1 / 2 + t * (1 / 6 + t * (1 / 24 + t * (1 / 120 + t * (1 / 720 + t / 5040))))))
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return e * e
