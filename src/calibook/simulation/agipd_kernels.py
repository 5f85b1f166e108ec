"""From charge to the two planes of AGIPD. numba, serial; threads are the caller's business."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from calibook.detectors.agipd import ADC_MAX, ASIC_SHAPE, FAST_SCAN, SLOW_SCAN
from calibook.simulation.agipd_model import GAIN_NOISE_ADU
from calibook.simulation.agipd_truth import ASIC_COLUMNS, HOOK_DECAY_KEV, RIPPLE_IN_GAIN_PLANE
from calibook.simulation.random_numbers import standard_normal, uniform
from calibook.simulation.silicon import FANO_KEV

ASIC_ROWS_PIXELS, ASIC_COLUMNS_PIXELS = ASIC_SHAPE
# Baseline of the high stage: ADU per keV of the ASIC's mean charge, and its limit.
BASELINE_ADU_PER_KEV, BASELINE_LIMIT_ADU = -0.01, -300.0


@njit(nogil=True, cache=True)
def baseline_shifts(charge, shifts):
    """How much each ASIC's charge lowers its baseline.

    charge: f4 (slow_scan, fast_scan), keV
    shifts: f4 (asic,), ADU, overwritten
    """
    for asic in range(shifts.size):
        top = asic // ASIC_COLUMNS * ASIC_ROWS_PIXELS
        left = asic % ASIC_COLUMNS * ASIC_COLUMNS_PIXELS
        total = 0.0
        for row in range(top, top + ASIC_ROWS_PIXELS):
            for column in range(left, left + ASIC_COLUMNS_PIXELS):
                total += charge[row, column]
        mean = total / (ASIC_ROWS_PIXELS * ASIC_COLUMNS_PIXELS)
        shifts[asic] = max(BASELINE_ADU_PER_KEV * mean, BASELINE_LIMIT_ADU)


@njit(nogil=True, cache=True)
def stages_of(charge, switch, lowest, highest, stages):
    """Gain stage of each pixel. Noise neither helps nor hinders a pixel to switch.

    charge: f4 (slow_scan, fast_scan), keV
    switch: f4 (2, slow_scan, fast_scan), keV; infinite for pixels that can't leave a
        stage even if forced
    lowest, highest: stages that the gain mode allows
    stages: u1 (slow_scan, fast_scan), overwritten
    """
    for row in range(SLOW_SCAN):
        for column in range(FAST_SCAN):
            stage = lowest if switch[0, row, column] < np.inf else min(lowest, 0)
            while stage < highest and charge[row, column] > switch[stage, row, column]:
                stage += 1
            stages[row, column] = stage


@njit(nogil=True, cache=True)
def expose(
    state, charge, stages, pedestal, forced_error, ripple, drift, slope, cell_gain, noise, cell_noise,
    level, snow, switch, asic_shift, baseline_shift, hook, planes, pretended,
):  # fmt: skip
    """One frame: charge and stage to the signal and the gain plane, rounded and clipped.

    signal = pedestal[s] + ripple + drift - forced_error [s = 1, not forced] + asic_shift
        + baseline_shift [s = 0] + slope[s] q + z sqrt(noise[s]^2 + slope[s]^2 q FANO_KEV)
    gain plane = level[s'] + ripple / 2 + 40 z', where s' is s or what snow makes of it

    state: u8, for random numbers
    charge, stages: f4 keV, u1 (slow_scan, fast_scan)
    pedestal, slope, noise, level: f4 (gain, slow_scan, fast_scan), ADU, ADU/keV, ADU, ADU
    forced_error: f4 (slow_scan, fast_scan), ADU; 0 where stages are forced or fixed
    ripple, cell_noise: f4 (slow_scan, fast_scan), of the frame's cell
    drift: f4, same shape, ADU
    cell_gain, asic_shift, baseline_shift: f4 (asic,)
    snow: f4 (2, slow_scan, fast_scan), probability of medium, low for a pixel in the high stage
    switch: f4 (2, slow_scan, fast_scan), keV
    hook: ADU by which the pulsed capacitor bends the start of the medium line
    planes: u2 (2, slow_scan, fast_scan), overwritten
    pretended: u1 (slow_scan, fast_scan), overwritten: stage that snow pretends, else 0
    """
    for row in range(SLOW_SCAN):
        for column in range(FAST_SCAN):
            asic = row // ASIC_ROWS_PIXELS * ASIC_COLUMNS + column // ASIC_COLUMNS_PIXELS
            s, q = np.int64(stages[row, column]), np.float64(charge[row, column])
            gain = np.float64(slope[s, row, column]) * cell_gain[asic]
            sigma = np.float64(noise[s, row, column]) * cell_noise[row, column]
            if q > 0.0:
                sigma = math.sqrt(sigma * sigma + gain * gain * q * FANO_KEV)
            state, z = standard_normal(state)
            value = np.float64(pedestal[s, row, column]) + ripple[row, column] + drift[row, column]
            value += asic_shift[asic] + gain * q + z * sigma
            look = s
            if s == 0:
                value += baseline_shift[asic]
                rate = snow[0, row, column] + snow[1, row, column]
                if rate > 0.0:
                    state, u = uniform(state)
                    if u < rate:
                        look = np.int64(1 if u < snow[0, row, column] else 2)
            elif s == 1:
                value -= forced_error[row, column]
                if hook > 0.0:
                    value += hook * math.exp((switch[0, row, column] - q) / HOOK_DECAY_KEV)
            pretended[row, column] = look if look != s else 0
            planes[0, row, column] = _code(value)
            state, z = standard_normal(state)
            other = level[look, row, column] + RIPPLE_IN_GAIN_PLANE * ripple[row, column]
            planes[1, row, column] = _code(other + GAIN_NOISE_ADU * z)


@njit(nogil=True, cache=True)
def _code(value):
    return np.uint16(min(max(value + 0.5, 0.0), ADC_MAX + 0.5))


@njit(nogil=True, cache=True)
def accumulate(charge, per_photon, stages, pretended, signal, frames, photons, saturated, snow):
    """Add one frame to the sums of true photons.

    charge, stages, pretended: f4 keV, u1, u1 (slow_scan, fast_scan)
    per_photon: keV
    signal: u2 (slow_scan, fast_scan), as written
    frames, photons: u4, f8 (gain, slow_scan, fast_scan)
    saturated, snow: u4 (slow_scan, fast_scan)
    """
    for row in range(SLOW_SCAN):
        for column in range(FAST_SCAN):
            stage, value = stages[row, column], signal[row, column]
            frames[stage, row, column] += 1
            photons[stage, row, column] += charge[row, column] / per_photon
            if value == 0 or value == ADC_MAX:
                saturated[row, column] += 1
            if pretended[row, column]:
                snow[row, column] += 1
