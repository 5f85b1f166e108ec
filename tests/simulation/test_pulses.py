"""Energies of pulses."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.pulses import HIT_SHARE, MISSED, pulse_energies


def energies(**changes) -> np.ndarray:
    return pulse_energies(AgipdSettings(**({"run": 1, "trains": 500, "seed": 2} | changes)))


def test_jitter():
    found = energies(pulse_jitter=0.2)
    assert found.shape == (500, 64) and found.min() > 0
    assert found.mean() == pytest.approx(1, abs=5 * 0.2 / np.sqrt(found.size))
    assert found.std() == pytest.approx(0.2, rel=0.03)
    assert (energies(pulse_jitter=0.0) == 1).all()


def test_trains_do_not_depend_on_how_many_there_are():
    np.testing.assert_array_equal(energies(trains=3), energies()[:3])
    assert (energies(run=2) != energies()).all()


def test_particles_are_hit_now_and_then():
    found = energies(scene="particle", pulse_jitter=0.0)
    missed = found == MISSED
    assert missed.mean() == pytest.approx(1 - HIT_SHARE, abs=5 * np.sqrt(0.25 / found.size))
    assert found.mean() == pytest.approx(1, abs=0.05)
    hits = found[~missed]
    assert hits.std() == pytest.approx(hits.mean(), rel=0.05)
