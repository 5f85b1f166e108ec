"""What falls on the detector: photons expected per pixel and pulse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from calibook.detectors.jungfrau import double_size_pixels
from calibook.errors import BadParameter
from calibook.simulation.truth import MODULE_SHAPE

# Radius, in units of the detector's outermost, and height of the powder rings.
_RINGS = ((0.15, 0.5), (0.25, 0.3), (0.36, 0.16), (0.48, 0.08), (0.61, 0.05), (0.75, 0.035), (0.88, 0.025))
_RING_WIDTH = 0.012
_BACKGROUND = 0.0004


def expected_photons(scene: str, modules: int, intensity: float, double_size: bool = True) -> np.ndarray:
    """Expected photons per pixel and pulse: f4 (module, slow_scan, fast_scan).

    scene: "dark", "flat" or "rings"
    intensity: mean over all pixels of standard size
    double_size: pixels at the inner chip borders collect 2 (corners 4) times
        what their standard-size neighbours collect

    Raises BadParameter for an unknown scene or a negative intensity.
    """
    if scene not in SCENES:
        raise BadParameter(f"scene={scene!r}: not one of {', '.join(SCENES)}")
    if not 0 <= intensity < np.inf:
        raise BadParameter(f"intensity={intensity}: has to be >= 0")
    photons = SCENES[scene](modules)
    if double_size:
        photons = photons * pixel_area()
    return (photons * intensity).astype("f4")


def pixel_area() -> np.ndarray:
    """Area of each pixel in units of the standard: 1, 2 or (corners) 4; f8 (slow_scan, fast_scan)."""
    wide = double_size_pixels()
    rows, columns = wide.all(axis=1), wide.all(axis=0)
    return np.where(rows, 2.0, 1.0)[:, None] * np.where(columns, 2.0, 1.0)


def radius(modules: int) -> np.ndarray:
    """Distance of each pixel from the beam, in units of the largest: f8 (module, slow_scan, fast_scan).

    The beam goes through the middle of the detector, assembled as in
    EXtra-geom's example of so many modules.
    """
    from extra_geom import JUNGFRAUGeometry

    positions = JUNGFRAUGeometry.example(modules).get_pixel_positions()[..., :2]
    x, y = np.moveaxis(positions - positions.mean(axis=(0, 1, 2)), -1, 0)
    distance = np.hypot(x, y)
    return distance / distance.max()


def _dark(modules: int) -> np.ndarray:
    return np.zeros((modules, *MODULE_SHAPE))


def _flat(modules: int) -> np.ndarray:
    return np.ones((modules, *MODULE_SHAPE))


def _rings(modules: int) -> np.ndarray:
    """Powder rings on a halo that falls steeply; the brightest pixel has 1000 times the darkest."""
    r = radius(modules)
    photons = np.exp(-11 * r) + _BACKGROUND
    for centre, height in _RINGS:
        photons += height * np.exp(-0.5 * ((r - centre) / _RING_WIDTH) ** 2)
    return photons / photons.mean()


SCENES: dict[str, Callable[[int], np.ndarray]] = {"dark": _dark, "flat": _flat, "rings": _rings}
