"""What is true about a simulated AGIPD module and run, as it is kept and compared.

352 cells times three stages are 69 million pixels: what is common to all cells,
or to all stages, is kept once. `AgipdTruth` puts it together stage by stage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from calibook.detectors.agipd import ASIC_SHAPE, FAST_SCAN, SLOW_SCAN
from calibook.detectors.bad_pixels import BadPixels
from calibook.simulation.truth import PIXEL, stored

MODULE_SHAPE = (SLOW_SCAN, FAST_SCAN)
ASICS = (SLOW_SCAN // ASIC_SHAPE[0]) * (FAST_SCAN // ASIC_SHAPE[1])
ASIC_COLUMNS = FAST_SCAN // ASIC_SHAPE[1]
NO_CELL = 65535
RIPPLE_IN_GAIN_PLANE = 0.5
"""Share of a cell's offset that the gain plane shows, too."""
QUANTISATION_VARIANCE = 1 / 12
HOOK_ADU, HOOK_DECAY_KEV = 60.0, 120.0
"""A pixel that the pulsed capacitor drove out of the high stage is so far above its line of the
medium stage at first, and less and less so."""


class PixelKind(IntEnum):
    """What is wrong with a pixel, see the table in `agipd_model`."""

    GOOD = 0
    NOISY = 1
    COLD = 2
    HOT = 3
    STAYS_HIGH = 4
    ONE_LEVEL = 5
    BAD_CELL = 6
    NO_PULSER = 7
    LOW_GAIN = 8
    DEAD_ASIC = 9
    DEAD_ADC = 10


NO_CHARGE = (PixelKind.COLD, PixelKind.DEAD_ASIC, PixelKind.DEAD_ADC)
STUCK = {PixelKind.DEAD_ASIC: 500, PixelKind.DEAD_ADC: 16383}
"""What both planes of dead pixels show, always [ADU]."""

_OFFSET, _NOISE = BadPixels.OFFSET_OUT_OF_THRESHOLD, BadPixels.NOISE_OUT_OF_THRESHOLD
_LEVELS = BadPixels.GAIN_THRESHOLDING_ERROR
_BITS = {
    PixelKind.NOISY: (_NOISE, _NOISE, _NOISE),
    PixelKind.COLD: (_OFFSET, _OFFSET, _OFFSET),
    PixelKind.HOT: (_OFFSET, _OFFSET, _OFFSET),
    PixelKind.STAYS_HIGH: (_LEVELS, _LEVELS | _OFFSET, _LEVELS | _OFFSET),
    PixelKind.ONE_LEVEL: (_LEVELS, _LEVELS, _LEVELS),
    PixelKind.DEAD_ASIC: (_OFFSET | _NOISE | _LEVELS,) * 3,
    PixelKind.DEAD_ADC: (_OFFSET | _NOISE | _LEVELS,) * 3,
}


@dataclass(frozen=True)
class AgipdTruth:
    """A module as it truly is, in the gain mode of the run.

    pedestal: f4 (gain, slow_scan, fast_scan), ADU; of stages that gain switching was forced into
    ripple: f4 (cell, slow_scan, fast_scan), ADU, what a cell adds in all stages
    forced_error: f4 (slow_scan, fast_scan), ADU: how much the pedestal of the medium stage
        lies above that of pixels which got there by their charge
    drift: f4 (slow_scan, fast_scan), offset per ADU of the frame's drift
    noise: f4 (gain, slow_scan, fast_scan), ADU, electronic noise
    cell_noise: f4 (cell, slow_scan, fast_scan), factor on it
    common_noise: f4 (), ADU, standard deviation of the shifts that an ASIC's pixels share
    slope: f4 (gain, slow_scan, fast_scan), ADU/keV
    cell_gain: f4 (cell, asic), factor on it
    level: f4 (gain, slow_scan, fast_scan), ADU, of the gain plane
    switch: f4 (2, slow_scan, fast_scan), keV above which a pixel leaves the high and medium stage
    pulser: f4 (slow_scan, fast_scan), keV that a pulse of the capacitor injects
    snow: f4 (2, slow_scan, fast_scan), probability that a pixel in the high stage looks
        as in the medium, low stage
    kinds: u1 (slow_scan, fast_scan), values of `PixelKind`
    bad_cell: u2 (slow_scan, fast_scan), the one bad cell of the pixel, or 65535
    """

    pedestal: np.ndarray = field(metadata=stored("gain", *PIXEL, unit="ADU"))
    ripple: np.ndarray = field(metadata=stored("cell", *PIXEL, unit="ADU"))
    forced_error: np.ndarray = field(metadata=stored(*PIXEL, unit="ADU"))
    drift: np.ndarray = field(metadata=stored(*PIXEL))
    noise: np.ndarray = field(metadata=stored("gain", *PIXEL, unit="ADU"))
    cell_noise: np.ndarray = field(metadata=stored("cell", *PIXEL))
    common_noise: np.ndarray = field(metadata=stored(unit="ADU"))
    slope: np.ndarray = field(metadata=stored("gain", *PIXEL, unit="ADU/keV"))
    cell_gain: np.ndarray = field(metadata=stored("cell", "asic"))
    level: np.ndarray = field(metadata=stored("gain", *PIXEL, unit="ADU"))
    switch: np.ndarray = field(metadata=stored("stage", *PIXEL, unit="keV"))
    pulser: np.ndarray = field(metadata=stored(*PIXEL, unit="keV"))
    snow: np.ndarray = field(metadata=stored("stage", *PIXEL))
    kinds: np.ndarray = field(metadata=stored(*PIXEL))
    bad_cell: np.ndarray = field(metadata=stored(*PIXEL))

    @property
    def cells(self) -> int:
        """Memory cells."""
        return len(self.ripple)

    def stage(self, stage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What darks of a stage should show, see `truth.DetectorTruth`. The noise has
        electronic noise, common mode and rounding in it."""
        return self.offset(stage), self._dark_noise(stage), self.bad(stage)

    def offset(self, stage: int) -> np.ndarray:
        """Dark signal of a stage: f4 (cell, slow_scan, fast_scan), ADU."""
        return self.pedestal[stage] + self.ripple

    def gain(self, stage: int) -> np.ndarray:
        """Slope of a stage: f4 (cell, slow_scan, fast_scan), ADU/keV."""
        return self.slope[stage] * asic_maps(self.cell_gain)

    def gain_level(self, stage: int) -> np.ndarray:
        """Mean gain plane of a stage: f4 (cell, slow_scan, fast_scan), ADU."""
        return self.level[stage] + np.float32(RIPPLE_IN_GAIN_PLANE) * self.ripple

    def _dark_noise(self, stage: int) -> np.ndarray:
        variance = (self.noise[stage] * self.cell_noise) ** 2
        variance += np.float32(self.common_noise**2 + QUANTISATION_VARIANCE)
        np.sqrt(variance, out=variance)
        variance[:, np.isin(self.kinds, list(STUCK))] = 0
        return variance

    def bad(self, stage: int) -> np.ndarray:
        """Bits that darks should show in a stage: u4 (cell, slow_scan, fast_scan)."""
        word = np.zeros(MODULE_SHAPE, "u4")
        for kind, words in _BITS.items():
            word[self.kinds == kind] = int(words[stage])
        bad = np.repeat(word[None], self.cells, axis=0)
        slow, fast = np.nonzero(self.bad_cell != NO_CELL)
        bad[self.bad_cell[slow, fast], slow, fast] |= int(_OFFSET)
        return bad

    def hook(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What bends the start of the medium line in a scan of the pulsed capacitor.

        start: (slow_scan, fast_scan), pulses at which it is looked at first
        Returns (amplitude there [ADU], decay [pulses]), NaN where the capacitor injects nothing.
        """
        pulser = np.where(self.pulser > 0, self.pulser, np.nan)
        amplitude = HOOK_ADU * np.exp((self.switch[0] - start * pulser) / HOOK_DECAY_KEV)
        return amplitude, HOOK_DECAY_KEV / pulser

    def bad_with_pulser(self) -> np.ndarray:
        """Pixels of which scans of the pulsed capacitor find no two lines: bool (slow_scan, fast_scan)."""
        return np.isin(
            self.kinds, [*NO_CHARGE, PixelKind.NO_PULSER, PixelKind.STAYS_HIGH, PixelKind.ONE_LEVEL]
        )

    def bad_with_photons(self) -> np.ndarray:
        """Pixels without photon peaks or with half the gain: bool (slow_scan, fast_scan)."""
        return np.isin(self.kinds, [*NO_CHARGE, PixelKind.NOISY, PixelKind.LOW_GAIN])

    def good_pixels(self) -> np.ndarray:
        """Pixels without any defect in any cell: bool (slow_scan, fast_scan)."""
        return self.kinds == PixelKind.GOOD


@dataclass(frozen=True)
class AgipdPhotons:
    """True photons of one module over a run, by the gain stage in which a pixel truly was.

    A photon here is the charge of one: pixels share photons, so that sums are no integers.
    Snow does not change the stage: the charge was measured in the high stage. Lost
    frames are in none of the sums; the tables of frames and trains have them.

    frames: u4 (gain, slow_scan, fast_scan), samples in that stage
    photons: f8, same shape, sum of their charge, in photons
    saturated: u4 (slow_scan, fast_scan), samples whose signal is at either end of the ADC's range
    snow: u4 (slow_scan, fast_scan), samples that look as in another stage than they are

    cell: u2 (frame,), memory cell of each recorded frame, in the order of the files
    train_id: u8 (frame,)
    lost: u1 (frame,), 1 where the frame was lost
    pulse_energy: f4 (frame,), in units of the mean
    drift: f4 (frame,), ADU; times `AgipdTruth.drift` it is what the pixels drifted
    asic_shift: f4 (frame, asic), ADU, common mode of the ASIC's pixels in all stages
    baseline_shift: f4 (frame, asic), ADU, shift of its pixels in the high stage, by the charge of all

    And of the first recorded frames, pixel by pixel:
    first_photons: u4 (first, slow_scan, fast_scan), photons that hit the pixel
    first_charge: f4, same shape, what the pixel collected, in photons
    first_stage: u1, same shape, 0 high, 1 medium, 2 low
    first_snow: u1, same shape, the stage that snow pretends; 0 where there is none
    """

    frames: np.ndarray = field(metadata=stored("gain", *PIXEL))
    photons: np.ndarray = field(metadata=stored("gain", *PIXEL, unit="photons"))
    saturated: np.ndarray = field(metadata=stored(*PIXEL))
    snow: np.ndarray = field(metadata=stored(*PIXEL))
    cell: np.ndarray = field(metadata=stored("frame"))
    train_id: np.ndarray = field(metadata=stored("frame"))
    lost: np.ndarray = field(metadata=stored("frame"))
    pulse_energy: np.ndarray = field(metadata=stored("frame"))
    drift: np.ndarray = field(metadata=stored("frame", unit="ADU"))
    asic_shift: np.ndarray = field(metadata=stored("frame", "asic", unit="ADU"))
    baseline_shift: np.ndarray = field(metadata=stored("frame", "asic", unit="ADU"))
    first_photons: np.ndarray = field(metadata=stored("first", *PIXEL, unit="photons"))
    first_charge: np.ndarray = field(metadata=stored("first", *PIXEL, unit="photons"))
    first_stage: np.ndarray = field(metadata=stored("first", *PIXEL))
    first_snow: np.ndarray = field(metadata=stored("first", *PIXEL))


def asic_maps(per_asic: np.ndarray) -> np.ndarray:
    """Values per ASIC, (..., asic), as maps (..., slow_scan, fast_scan).

    ASICs are counted along fast_scan first: 0 and 1 hold the first 64 rows.
    """
    blocks = per_asic.reshape(*per_asic.shape[:-1], -1, ASIC_COLUMNS)
    return np.repeat(np.repeat(blocks, ASIC_SHAPE[0], axis=-2), ASIC_SHAPE[1], axis=-1)


DETECTOR_TRUTH, PHOTON_TRUTH = AgipdTruth, AgipdPhotons
