"""What X-rays do in a silicon sensor, the same for all detectors."""

from __future__ import annotations

import math

import numpy as np

FANO_KEV = 0.115 * 3.62e-3
"""Fano factor times the energy of an electron-hole pair: a charge q varies by FANO_KEV * q [keV^2]."""

BINS = 1024


def lost_at_border(pixel_um: float, cloud_um: float) -> np.ndarray:
    """Share of a photon's charge that crosses a pixel's border, by its distance from it: f4 (BINS,).

    The cloud is Gaussian. Entry i is for the distance (i + 1/2) / BINS pixels. Shares
    below 1e-4, of a few eV, stay in the pixel.

    cloud_um: its standard deviation, small against half a pixel
    """
    distance = (np.arange(BINS) + 0.5) / BINS * pixel_um
    share = np.array([0.5 * math.erfc(d / (cloud_um * math.sqrt(2))) for d in distance], "f4")
    return np.where(share < 1e-4, np.float32(0), share)
