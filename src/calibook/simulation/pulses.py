"""How much energy each pulse brings, the same for all modules."""

from __future__ import annotations

import numpy as np

from calibook.simulation.settings import RunSettings
from calibook.simulation.streams import Stream, generator

HIT_SHARE = 0.3
"""Share of the pulses that hit a particle, in scenes with particles."""
MISSED = 0.02
"""What is left of the signal when they miss, relative to the mean."""
HIT_SCENES = ("particle",)


def pulse_energies(settings: RunSettings) -> np.ndarray:
    """Energy of each pulse in units of the mean: f8 (train, pulse).

    Gamma distributed: never negative, as the energy of a chaotic source.
    Particles are hit at random, not always in the middle of the beam: then the
    signal is exponentially distributed, and its mean over all pulses is 1.
    """
    n, jitter = settings.pulses, settings.pulse_jitter
    energies = np.ones((settings.trains, n))
    for train in range(settings.trains):
        rng = generator(settings.seed, Stream.PULSES, settings.run, train)
        if jitter:
            energies[train] = rng.gamma(jitter**-2, jitter**2, n)
        if settings.scene in HIT_SCENES:
            hit = rng.random(n) < HIT_SHARE
            strength = (1 - MISSED * (1 - HIT_SHARE)) / HIT_SHARE
            energies[train] *= np.where(hit, strength * rng.exponential(1, n), MISSED)
    return energies
