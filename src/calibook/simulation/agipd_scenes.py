"""Where AGIPD's pixels are and how large: what its scenes need."""

from __future__ import annotations

import numpy as np

from calibook.detectors.agipd import double_size_pixels
from calibook.detectors.base import Detector
from calibook.simulation import scenes


def expected_photons(detector: Detector, scene: str, intensity: float, double_size: bool) -> np.ndarray:
    """Expected photons per pixel and pulse: f4 (module, slow_scan, fast_scan), of all modules.

    detector: AGIPD or AGIPD_500K; its modules are where EXtra-geom's example has
        them, with the beam through their middle
    intensity: mean over all pixels of standard size
    double_size: pixels at the inner chip borders collect twice as much
    """
    import extra_geom

    positions = getattr(extra_geom, f"{detector.title}Geometry").example().get_pixel_positions()[..., :2]
    area = 1.0 + double_size_pixels() if double_size else np.ones(detector.module_shape)
    return scenes.expected_photons(scene, positions - positions.mean(axis=(0, 1, 2)), area, intensity)
