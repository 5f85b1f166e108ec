"""Where a JUNGFRAU's pixels are and how large: what its scenes need."""

from __future__ import annotations

import numpy as np

from calibook.detectors.jungfrau import double_size_pixels
from calibook.simulation import scenes


def expected_photons(scene: str, modules: int, intensity: float, double_size: bool = True) -> np.ndarray:
    """Expected photons per pixel and pulse: f4 (module, slow_scan, fast_scan).

    modules: of the whole detector, assembled as in EXtra-geom's example of so
        many modules, with the beam through its middle
    intensity: mean over all pixels of standard size
    double_size: pixels at the inner chip borders collect 2 (corners 4) times
        what their standard-size neighbours collect
    """
    from extra_geom import JUNGFRAUGeometry

    positions = JUNGFRAUGeometry.example(modules).get_pixel_positions()[..., :2]
    area = pixel_area() if double_size else np.ones(positions.shape[1:3])
    return scenes.expected_photons(scene, positions - positions.mean(axis=(0, 1, 2)), area, intensity)


def pixel_area() -> np.ndarray:
    """Area of each pixel in units of the standard: 1, 2 or (corners) 4; f8 (slow_scan, fast_scan)."""
    wide = double_size_pixels()
    rows, columns = wide.all(axis=1), wide.all(axis=0)
    return np.where(rows, 2.0, 1.0)[:, None] * np.where(columns, 2.0, 1.0)
