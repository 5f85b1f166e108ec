"""What falls on a detector: photons expected per pixel and pulse.

A scene is a function of where the pixels are; it knows no detector.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from calibook.errors import BadParameter

# Radius, in units of the detector's outermost, and height of the powder rings.
_RINGS = ((0.15, 0.5), (0.25, 0.3), (0.36, 0.16), (0.48, 0.08), (0.61, 0.05), (0.75, 0.035), (0.88, 0.025))
_RING_WIDTH = 0.012
_BACKGROUND = 0.0004

# Phase of the outermost pixel in a sphere's form factor: 12 fringes. Beyond the centre's glare of
# _FORWARD the pattern is cut off, as by the hole of the detector.
_SPHERE_PHASE, _FORWARD = 40.0, 0.02

# Photons, and share of the pixels that get more than the levels before.
_ADVERSE_LEVELS = ((0.2, 0.7), (320.0, 0.2), (6450.0, 0.1))
ADVERSE_INTENSITY = sum(photons * share for photons, share in _ADVERSE_LEVELS)
"""Mean photons at which the adverse scene has the levels meant."""
_ADVERSE_WAVELENGTH_M = 0.0061


def expected_photons(scene: str, positions: np.ndarray, area: np.ndarray, intensity: float) -> np.ndarray:
    """Expected photons per pixel and pulse: f4 (module, slow_scan, fast_scan).

    scene: a key of SCENES
    positions: f8 (module, slow_scan, fast_scan, 2 or 3), from the beam, m
    area: (slow_scan, fast_scan), of the pixels, in units of the standard size
    intensity: mean over all pixels, were they of standard size

    Raises BadParameter for an unknown scene or a negative intensity.
    """
    if scene not in SCENES:
        raise BadParameter(f"scene={scene!r}: not one of {', '.join(SCENES)}")
    if not 0 <= intensity < np.inf:
        raise BadParameter(f"intensity={intensity}: has to be >= 0")
    photons = SCENES[scene](positions) * area
    return (photons * intensity).astype("f4")


def radius(positions: np.ndarray) -> np.ndarray:
    """Distance of each pixel from the beam, in units of the largest; f8 (module, slow_scan, fast_scan)."""
    distance = np.hypot(positions[..., 0], positions[..., 1])
    return distance / distance.max()


def _dark(positions: np.ndarray) -> np.ndarray:
    return np.zeros(positions.shape[:-1])


def _flat(positions: np.ndarray) -> np.ndarray:
    return np.ones(positions.shape[:-1])


def _rings(positions: np.ndarray) -> np.ndarray:
    """Powder rings on a halo that falls steeply; the brightest pixel has 1000 times the darkest."""
    r = radius(positions)
    photons = np.exp(-11 * r) + _BACKGROUND
    for centre, height in _RINGS:
        photons += height * np.exp(-0.5 * ((r - centre) / _RING_WIDTH) ** 2)
    return photons / photons.mean()


def _particle(positions: np.ndarray) -> np.ndarray:
    """Fringes of a single sphere: most pixels far out see no photon, those near the beam hundreds."""
    phase = np.maximum(_SPHERE_PHASE * radius(positions), 1e-3)
    amplitude = 3 * (np.sin(phase) - phase * np.cos(phase)) / phase**3
    photons = np.minimum(amplitude**2, _FORWARD)
    return photons / photons.mean()


def _adverse(positions: np.ndarray) -> np.ndarray:
    """A third of the pixels beyond high gain, in patches across chips and in single pixels."""
    x, y = (2 * np.pi * positions[..., axis] / _ADVERSE_WAVELENGTH_M for axis in (0, 1))
    # The same speckle whatever the run: a scene knows no seed.
    speckle = np.random.default_rng(0).random(positions.shape[:-1])
    height = np.sin(x) * np.sin(0.8 * y) + 0.5 * np.sin(0.31 * x + 0.47 * y) + 0.6 * speckle
    shares = np.cumsum([share for _, share in _ADVERSE_LEVELS])[:-1]
    level = np.searchsorted(np.quantile(height, shares), height)
    photons = np.array([photons for photons, _ in _ADVERSE_LEVELS])[level]
    return photons / photons.mean()


SCENES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dark": _dark,
    "flat": _flat,
    "rings": _rings,
    "particle": _particle,
    "adverse": _adverse,
}
"""Photons relative to their mean, f8 (module, slow_scan, fast_scan), by name."""
