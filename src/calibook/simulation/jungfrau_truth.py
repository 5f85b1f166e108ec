"""What is true about a simulated JUNGFRAU module and run, as it is kept and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from calibook.detectors.jungfrau import FAST_SCAN, SLOW_SCAN
from calibook.simulation.truth import PIXEL, stored

MODULE_SHAPE = (SLOW_SCAN, FAST_SCAN)


class PixelKind(IntEnum):
    """What is wrong with a pixel, see the table in `jungfrau_model`."""

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
    noise: f4 (gain, slow_scan, fast_scan), ADU: standard deviation of a pixel's dark
        samples in any cell, with electronic noise, common mode (G0) and rounding in it
    bad: u4 (cell, gain, slow_scan, fast_scan): bits that darks should show; not 0 means bad
    kinds: u1 (slow_scan, fast_scan), values of `PixelKind`
    """

    offset: np.ndarray = field(metadata=stored("cell", "gain", *PIXEL, unit="ADU"))
    gain: np.ndarray = field(metadata=stored("cell", "gain", *PIXEL, unit="ADU/keV"))
    noise: np.ndarray = field(metadata=stored("gain", *PIXEL, unit="ADU"))
    bad: np.ndarray = field(metadata=stored("cell", "gain", *PIXEL))
    kinds: np.ndarray = field(metadata=stored(*PIXEL))

    def stage(self, stage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `DetectorTruth`."""
        return self.offset[:, stage], self.noise[None, stage], self.bad[:, stage]

    def good_pixels(self) -> np.ndarray:
        """See `DetectorTruth`."""
        return ~(self.bad != 0).any(axis=(0, 1))


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

    frames: np.ndarray = field(metadata=stored("gain", *PIXEL))
    photons: np.ndarray = field(metadata=stored("gain", *PIXEL))
    saturated: np.ndarray = field(metadata=stored(*PIXEL))
    first: np.ndarray = field(metadata=stored("frame", *PIXEL))


def no_photons() -> PhotonTruth:
    """Sums to which nothing was added yet."""
    shapes = {"frames": (3, "u4"), "photons": (3, "u8"), "first": (0, "u4")}
    sums = {name: np.zeros((n, *MODULE_SHAPE), dtype) for name, (n, dtype) in shapes.items()}
    return PhotonTruth(**sums, saturated=np.zeros(MODULE_SHAPE, "u4"))


DETECTOR_TRUTH, PHOTON_TRUTH = JungfrauTruth, PhotonTruth
