"""Photons and their shared charge."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest

from calibook.simulation.charge import FEW, collect
from calibook.simulation.silicon import BINS, lost_at_border

SHAPE = (64, 128)
LOST, NOT_LOST = lost_at_border(200, 10), np.zeros(BINS, "f4")


def expose(expected: np.ndarray | float, lost=LOST, energy=10.0, beta_share=0.0, pulse=1.0, start=99):
    photons, charge = np.empty(SHAPE, "u4"), np.empty(SHAPE, "f4")
    everywhere = np.broadcast_to(np.asarray(expected, "f4"), SHAPE).copy()
    collect(np.uint64(start), everywhere, pulse, energy, 1.1 * energy, beta_share, lost, photons, charge)
    return photons, charge


def test_loss_at_a_border():
    assert LOST[0] == pytest.approx(0.5, abs=5e-3)
    # The mean over a pixel of a Gaussian's tail is sigma / (pixel sqrt(2 pi)); 1e-4 is cut off.
    assert LOST.mean() == pytest.approx(10 / 200 / sqrt(2 * pi), rel=2e-3)
    assert not LOST[BINS // 2 :].any()


@pytest.mark.parametrize("expected", [0.3, 5.0, 1000.0])
def test_without_sharing_charge_is_that_of_the_photons(expected):
    photons, charge = expose(expected, NOT_LOST, pulse=2.0)
    np.testing.assert_allclose(charge, photons * 10.0, rtol=1e-6)
    assert photons.mean() == pytest.approx(2 * expected, abs=5 * sqrt(2 * expected / photons.size))


@pytest.mark.parametrize("photons_there", [FEW - 6, 100 * FEW])
def test_charge_is_conserved_and_goes_to_the_neighbours(photons_there):
    expected = np.zeros(SHAPE)
    expected[4::8, 4::8] = photons_there
    photons, charge = expose(expected)
    assert charge.sum() == pytest.approx(photons.sum() * 10.0, rel=1e-5)
    total = photons.sum() * 10.0
    part = float(LOST.mean())
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            share = [part, 1 - 2 * part, part][1 + dy] * [part, 1 - 2 * part, part][1 + dx]
            found = charge[4 + dy :: 8, 4 + dx :: 8].sum() / total
            # One photon leaves at most all of its charge there.
            assert found == pytest.approx(share, abs=5 * sqrt(share / photons.sum()) + 1e-6)


def test_single_photons_keep_their_peak():
    """What hits the inner part of a pixel is not shared: the pixel has the full charge."""
    expected = np.zeros(SHAPE)
    expected[2::5, 2::5] = 0.2
    frames = [expose(expected, start=start) for start in range(50)]
    charge = np.concatenate([charge[photons == 1] for photons, charge in frames])
    whole = np.isclose(charge, 10.0, rtol=1e-5).mean()
    inside = 1 - 2 * (LOST > 0).mean()
    assert whole == pytest.approx(inside**2, abs=5 * sqrt(0.25 / len(charge)))
    assert charge.max() <= 10.0001


def test_charge_over_the_border_is_lost():
    expected = np.zeros(SHAPE)
    expected[0] = 1000
    photons, charge = expose(expected)
    kept = charge.sum() / (photons.sum() * 10.0)
    assert kept == pytest.approx(1 - LOST.mean(), abs=1e-3)


@pytest.mark.parametrize("expected", [1.0, 200.0])
def test_second_line(expected):
    photons, charge = expose(expected, NOT_LOST, beta_share=0.2)
    share = (charge.sum(dtype="f8") / 10 - photons.sum()) / 0.1 / photons.sum()
    assert share == pytest.approx(0.2, abs=5 * sqrt(0.16 / photons.sum()))
