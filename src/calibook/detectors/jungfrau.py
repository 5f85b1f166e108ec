"""JUNGFRAU: 512 x 1024 pixels of 75 um, three gain stages told by two bits.

Sources: EXtra-data's component, EXtra's conditions, PSI's and SLAC's readers;
see docs for the table of facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from calibook.detectors.base import ConditionValue, ConstantFacts, Detector

SLOW_SCAN, FAST_SCAN = 512, 1024
ADC_BITS = 14
ADC_MAX = (1 << ADC_BITS) - 1
CELLS_BURST = 16
# The gain code is in the two upper bits of a 16-bit word; the EuXFEL receiver
# stores it as a plane of its own. Code 2 does not exist.
GAIN_CODES = (0, 1, 3)
INVALID_CODE = 2

# What each gain stage can measure, with room for noise below zero [keV].
SIGNAL_RANGES_KEV = ((-20.0, 330.0), (-200.0, 10_000.0), (-2_000.0, 140_000.0))
SIGNAL_RANGES_ADU = ((-500.0, 15_000.0), (-15_000.0, 500.0), (-15_000.0, 500.0))

_CONDITIONS = (
    "Sensor Bias Voltage",
    "Memory Cells",
    "Pixels X",
    "Pixels Y",
    "Integration Time",
    "Sensor temperature",
    "Gain Setting",
    "Gain mode",
)
_DARK_CONDITIONS = (*_CONDITIONS, "Exposure timeout")
_DIMS = ("fast_scan", "slow_scan", "cell", "gain")

# Before 2022 one key held both the gain setting and the gain mode.
_LEGACY_SETTINGS = {
    "dynamicgain": ("gain0", "dynamic"),
    "dynamichg0": ("highgain0", "dynamic"),
    "fixgain1": ("gain0", "fixg1"),
    "fixgain2": ("gain0", "fixg2"),
    "forceswitchg1": ("gain0", "forceswitchg1"),
    "forceswitchg2": ("gain0", "forceswitchg2"),
}
# Forced switching is for darks: its constants serve dynamic gain.
_GAIN_MODES = {
    "dynamic": 0,
    "forceswitchg1": 0,
    "forceswitchg2": 0,
    "fixg0": 1,
    "fixg1": 2,
    "fixg2": 3,
}
_DEFAULT_EXPOSURE_TIMEOUT = 25


def settings_of(control: Callable[[str], Any]) -> tuple[str, str]:
    """(gain setting, gain mode) as the control device names them, e.g. ("gain0", "dynamic")."""
    settings = str(control("settings"))
    mode = control("gainMode")
    if mode is None:
        return _LEGACY_SETTINGS.get(settings, (settings, "dynamic"))
    return settings, str(mode)


def read_conditions(control: Callable[[str], Any]) -> dict[str, ConditionValue]:
    """Operating conditions from the control device, as `extra.calibration` derives them.

    Gain mode 0 and exposure timeout 25 are left out: the facility's catalogue
    takes a missing parameter for these defaults.
    """
    settings, mode = settings_of(control)
    voltage = control("highVoltage")
    if voltage is None:
        voltage = control("vHighVoltage")
    conditions: dict[str, ConditionValue] = {
        "Sensor Bias Voltage": float(int(np.ravel(voltage)[0])),
        "Memory Cells": float(control("storageCells")) + 1,
        "Pixels X": float(FAST_SCAN),
        "Pixels Y": float(SLOW_SCAN),
        "Integration Time": float(control("exposureTime")) * 1e6,
        "Sensor temperature": 291.0,
        "Gain Setting": 1.0 if settings == "highgain0" else 0.0,
    }
    if _GAIN_MODES[mode]:
        conditions["Gain mode"] = float(_GAIN_MODES[mode])
    timeout = control("exposureTimeout")
    if timeout is not None and int(timeout) != _DEFAULT_EXPOSURE_TIMEOUT:
        conditions["Exposure timeout"] = float(int(timeout))
    return conditions


def signal_ranges(unit: str, photon_energy: float) -> tuple[tuple[float, float], ...]:
    """(lowest, highest) corrected signal of each gain stage, in "ADU", "keV" or "photons"."""
    if unit == "ADU":
        return SIGNAL_RANGES_ADU
    per = photon_energy if unit == "photons" else 1.0
    return tuple((low / per, high / per) for low, high in SIGNAL_RANGES_KEV)


def double_size_pixels() -> np.ndarray:
    """True for the wider pixels at the inner chip borders: bool (slow_scan, fast_scan)."""
    wide = np.zeros((SLOW_SCAN, FAST_SCAN), bool)
    wide[[255, 256], :] = True
    wide[:, [255, 256, 511, 512, 767, 768]] = True
    return wide


JUNGFRAU = Detector(
    name="jungfrau",
    title="JUNGFRAU",
    detector_type="jungfrau-Type",
    module_shape=(SLOW_SCAN, FAST_SCAN),
    pixel_size_mm=0.075,
    first_module=1,
    aggregator="JNGFR{module:02d}",
    raw_source="{karabo_id}/DET/JNGFR{module:02d}:daqOutput",
    corrected_source="{karabo_id}/CORR/JNGFR{module:02d}:daqOutput",
    control_aggregator="JNGFRCTRL00",
    control_source="{karabo_id}/DET/CONTROL",
    index_group="data",
    frames_in_train=True,
    image_keys={"adc": "u2", "gain": "u1"},
    frame_keys={"memoryCell": "u1", "frameNumber": "u8", "bunchId": "u8", "timestamp": "f8"},
    train_keys={"trainId": "u8"},
    corrected_keys={"adc": "f4", "gain": "u1", "mask": "u4"},
    cell_key="memoryCell",
    gain_stages=("G0", "G1", "G2"),
    constants={
        "Offset10Hz": ConstantFacts("f8", _DIMS, "ADU", "dark signal", _DARK_CONDITIONS),
        "Noise10Hz": ConstantFacts("f8", _DIMS, "ADU", "spread of the dark signal", _DARK_CONDITIONS),
        "BadPixelsDark10Hz": ConstantFacts("u4", _DIMS, "", "bad pixels found in darks", _DARK_CONDITIONS),
        "RelativeGain10Hz": ConstantFacts("f8", _DIMS, "ADU/keV", "signal per photon energy", _CONDITIONS),
        "BadPixelsFF10Hz": ConstantFacts("u4", _DIMS, "", "bad pixels found in flat fields", _CONDITIONS),
    },
    read_conditions=read_conditions,
    # The exposure time is stored as float32 seconds: 10 us reads as 9.999999747.
    tolerances={"Integration Time": 0.01},
    condition_units={"Sensor Bias Voltage": "V", "Integration Time": "µs", "Sensor temperature": "K"},
)
