"""What is true about a simulated JUNGFRAU module and run, as it is kept and compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from calibook.detectors.jungfrau import FAST_SCAN, SLOW_SCAN

MODULE_SHAPE = (SLOW_SCAN, FAST_SCAN)


class PixelKind(IntEnum):
    """What is wrong with a pixel, see the table in `detector_model`."""

    GOOD = 0
    NOISY = 1
    COLD = 2
    HOT = 3
    STUCK_LOW = 4
    STUCK_HIGH = 5
    STAYS_IN_G0 = 6
    STAYS_IN_G1 = 7
    WRONG_CODE = 8
    BAD_CELL = 9


@dataclass(frozen=True)
class JungfrauTruth:
    """What a perfect characterisation of one module would find.

    offset: f4 (cell, gain, slow_scan, fast_scan), ADU
    gain: f4, same shape, ADU/keV, negative in G1 and G2
    noise: f4, same shape, ADU: standard deviation of a pixel's dark samples,
        with electronic noise, common mode (G0) and rounding in it
    bad: u4, same shape: bits that darks should show; not 0 means bad
    kinds: u1 (slow_scan, fast_scan), values of `PixelKind`
    """

    offset: np.ndarray
    gain: np.ndarray
    noise: np.ndarray
    bad: np.ndarray
    kinds: np.ndarray


@dataclass(frozen=True)
class PhotonTruth:
    """True photons of one module over a run, by the gain stage in which a pixel was.

    frames: u4 (gain, slow_scan, fast_scan), samples in that stage
    photons: u8, same shape, sum of the true photons of these samples
    saturated: u4 (slow_scan, fast_scan), samples at either end of the ADC's range;
        their values can't tell their photons
    first: u4 (frame, slow_scan, fast_scan), true photons of the run's first frames

    Samples with an invalid gain code and lost frames are in none of the sums.
    """

    frames: np.ndarray
    photons: np.ndarray
    saturated: np.ndarray
    first: np.ndarray


def no_photons() -> PhotonTruth:
    """Sums to which nothing was added yet."""
    shapes = {"frames": (3, "u4"), "photons": (3, "u8"), "first": (0, "u4")}
    sums = {name: np.zeros((n, *MODULE_SHAPE), dtype) for name, (n, dtype) in shapes.items()}
    return PhotonTruth(**sums, saturated=np.zeros(MODULE_SHAPE, "u4"))
