"""The loops over pixels of the forward model. Serial; threads are the caller's business."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.detectors.jungfrau import ADC_MAX, FAST_SCAN, GAIN_CODES, SLOW_SCAN
from calibook.simulation.silicon import FANO_KEV

COLUMNS_PER_ADC, ROWS_PER_ASIC = 64, 256
_CODES = np.array(GAIN_CODES, "u1")


@njit(nogil=True, cache=True)
def expose(
    photons, normal, offset, gain, noise, switch, last_stage, shifts, energy, lowest, highest, adc, code
):
    """One frame: charge to ADC value and gain code, rounded and clipped.

    The stage follows from the mean charge k E alone: noise neither helps nor
    hinders a pixel to switch, so it can't bias the photons found in a stage.
    ADC = offset[g] + gain[g] k E + z sqrt(noise[g]^2 + gain[g]^2 k E F w)

    photons: i8 (slow_scan, fast_scan), k
    normal: f4, same shape, standard normal numbers z
    offset, gain, noise: f4 (gain, slow_scan, fast_scan), ADU, ADU/keV, ADU
    switch: f4 (2, slow_scan, fast_scan), keV
    last_stage: u1 (slow_scan, fast_scan), stage that a pixel can't leave
    shifts: f4 (2, 16), common mode of each ADC, added in G0, ADU
    energy: photon energy E, keV
    lowest, highest: stages that the gain mode allows
    adc, code: u2, u1 (slow_scan, fast_scan), overwritten
    """
    for row in range(SLOW_SCAN):
        for column in range(FAST_SCAN):
            charge = photons[row, column] * energy
            stage = lowest
            while stage < highest and charge > switch[stage, row, column]:
                stage += 1
            stage = min(stage, np.int64(last_stage[row, column]))
            slope = gain[stage, row, column]
            variance = noise[stage, row, column] ** 2 + slope**2 * charge * FANO_KEV
            value = offset[stage, row, column] + slope * charge + normal[row, column] * np.sqrt(variance)
            if stage == 0:
                value += shifts[row // ROWS_PER_ASIC, column // COLUMNS_PER_ADC]
            adc[row, column] = np.uint16(min(max(np.rint(value), 0.0), float(ADC_MAX)))
            code[row, column] = _CODES[stage]


@njit(nogil=True, cache=True)
def accumulate(photons, adc, code, frames, sums, saturated):
    """Add one frame to the sums of true photons. Samples with an invalid code don't count.

    photons: i8 (slow_scan, fast_scan)
    adc, code: u2, u1 (slow_scan, fast_scan), as written
    frames, sums: u4, u8 (gain, slow_scan, fast_scan)
    saturated: u4 (slow_scan, fast_scan), samples at either end of the ADC's range
    """
    for row in range(SLOW_SCAN):
        for column in range(FAST_SCAN):
            value = adc[row, column]
            if value == 0 or value == ADC_MAX:
                saturated[row, column] += 1
            for stage in range(3):
                if code[row, column] == _CODES[stage]:
                    frames[stage, row, column] += 1
                    sums[stage, row, column] += np.uint64(photons[row, column])
