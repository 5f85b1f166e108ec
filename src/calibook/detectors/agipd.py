"""AGIPD: 512 x 128 pixels of 200 um, up to 352 memory cells, the gain stage told by a second analogue plane.

Sources: EXtra's conditions, EXtra-data's components, EXtra-geom's geometry, and
publications of the detector; see docs for the table of facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from calibook.detectors.base import ConditionValue, ConstantFacts, Detector, RunValues

SLOW_SCAN, FAST_SCAN = 512, 128
ADC_BITS = 14
ADC_MAX = (1 << ADC_BITS) - 1
SIGNAL_PLANE, GAIN_PLANE = 0, 1

ASIC_SHAPE = (64, 64)
"""Chips of (slow_scan, fast_scan) pixels: 8 x 2 per module."""
ADC_BLOCK_SHAPE = (64, 16)
"""Pixels that one ADC reads; when it fails, all of them are bad."""
CELLS_PER_ROW = 32
"""Memory cells lie in rows on the chip; those of a row share disturbances."""
MEMORY_CELLS = (4, 32, 64, 76, 128, 176, 202, 250, 352)
"""Numbers of memory cells that the detector can be configured for."""

# Axes of the constants from scans: a quantity per scan's fit, then the module turned round.
SLOPES_PC = (
    "high slope", "high intercept", "high deviation",
    "medium slope", "medium intercept", "hook amplitude", "hook start", "hook decay", "medium deviation",
)  # fmt: skip
"""Quantities of SlopesPC. The hook is the bent start of the medium line; 0 where it has none."""
THRESHOLDS_DARK = ("high to medium", "medium to low", "high level", "medium level", "low level")
"""Quantities of ThresholdsDark: above which gain plane a stage ends, mean gain plane of the stages [ADU]."""

# What each gain stage can measure, with room for noise below zero [keV]; see the
# ADC's span over the slopes 7, 7 / 32 and 7 / 32 / 4.48 ADU/keV.
SIGNAL_RANGES_KEV = ((-30.0, 600.0), (-300.0, 30_000.0), (-3_000.0, 250_000.0))
HIGH_GAIN_ADU_PER_KEV = 7.0
MEDIUM_TO_LOW_RATIO = 4.48
"""Slope of medium over that of low gain: the pulsed capacitor does not reach low gain."""

_BASE = (
    "Sensor Bias Voltage",
    "Pixels X",
    "Pixels Y",
    "Memory cells",
    "Acquisition rate",
    "Gain setting",
)
_DARK = (*_BASE, "Gain mode", "Integration time")
_SCAN = (*_BASE, "Integration time")
_ILLUMINATED = (*_SCAN, "Source energy")

_DEFAULT_INTEGRATION_TIME = 12
_SOURCE_ENERGY_KEV = 9.2
_REASONABLE_VOLTAGE = 1000.0
_MODULES = range(16)
# Before it had a key of its own the setting followed from these two.
_LEGACY_GAIN_SETTINGS = {(0, False): 0, (32, True): 0, (8, False): 1, (40, True): 1}
_LEGACY_PATTERN_TYPE = 4


def read_conditions(run: RunValues) -> dict[str, ConditionValue]:
    """Operating conditions, as `extra.calibration.AGIPDConditions` derives them.

    From the composite device of the FPGAs and from the supply of high voltage
    (first generation) or the FPGAs (second); what the composite lacks in older
    data, from the IDs of the frames. Gain mode 0 and integration time 12 are
    left out: the facility's catalogue takes a missing parameter for these.

    Raises ValueError, KeyError or TypeError where a value is missing, strange or
    not constant in the run.
    """
    conditions: dict[str, ConditionValue] = {
        "Sensor Bias Voltage": float(_bias_voltage(run)),
        "Pixels X": float(SLOW_SCAN),
        "Pixels Y": float(FAST_SCAN),
        "Memory cells": float(_memory_cells(run)),
        "Acquisition rate": _acquisition_rate(run),
        "Gain setting": float(_gain_setting(run)),
        "Source energy": _SOURCE_ENERGY_KEV,
    }
    if mode := int(_required(run, "gainModeIndex")):
        conditions["Gain mode"] = float(mode)
    time = _single(run, "integrationTime")
    if time is not None and int(time) != _DEFAULT_INTEGRATION_TIME:
        conditions["Integration time"] = float(int(time))
    return conditions


def _memory_cells(run: RunValues) -> int:
    """Of the composite device; else the smallest configuration that has the cells seen."""
    pulses = _single(run, "bunchStructure.nPulses")
    if pulses is not None:
        return int(pulses)
    for cells in run.frame_values("cellId"):
        return min(n for n in MEMORY_CELLS if n > cells.max())
    raise KeyError("neither bunchStructure.nPulses nor frames to count memory cells in")


def _acquisition_rate(run: RunValues) -> float:
    """MHz, to one decimal. Pulse IDs count at 4.5 MHz: their smallest step tells the rate."""
    rate = _single(run, "bunchStructure.repetitionRate")
    if rate is not None:
        return round(float(rate), 1)
    for pulses in run.frame_values("pulseId"):
        steps = np.diff(pulses.astype("i8"))
        if (steps > 0).any():
            return round(float(np.floor(45 / steps[steps > 0].min())) / 10, 1)
    raise KeyError("neither bunchStructure.repetitionRate nor trains of two frames or more")


def _gain_setting(run: RunValues) -> int:
    setting = _single(run, "gain")
    if setting is not None:
        return int(setting)
    pattern = _required(run, "patternTypeIndex")
    if pattern > _LEGACY_PATTERN_TYPE:
        raise ValueError(f"patternTypeIndex {pattern} tells no gain setting")
    return _LEGACY_GAIN_SETTINGS[int(_required(run, "setupr")), bool(pattern == _LEGACY_PATTERN_TYPE)]


def _bias_voltage(run: RunValues) -> int:
    """V, of the first module that is powered; 0 if none is."""
    control = run.control_source.partition("/")[0]
    supply = f"{control[:-1]}/PSC/HV"
    channels = [k for k in run.keys(supply) if k.startswith("channels.U") and k.endswith(".voltage")]
    if channels:
        voltages = (_single(run, key, supply, atol=1, rtol=1) or 0.0 for key in channels)
        return int(next((voltage for voltage in voltages if voltage > 0), 0))
    found = None
    for module in _MODULES:
        values = run.series("highVoltage.target", f"{control}/FPGA/M_{module}")
        # These devices at times show absurd values for a moment.
        if values is not None and (values < _REASONABLE_VOLTAGE).any():
            found = int(np.median(values[values < _REASONABLE_VOLTAGE]))
            if found > 0:
                return found
    if found is None:
        raise KeyError(f"no high voltage: neither {supply} nor {control}/FPGA/M_0 ... is in the run")
    return found


def _single(
    run: RunValues, key: str, source: str = "", rtol: float = 1e-5, atol: float = 0.0
) -> float | None:
    """A value that must not change in the run: its median, if all are near it; None where it is missing."""
    values = run.series(key, source)
    if values is None:
        return None
    middle = float(np.median(values))
    if not np.allclose(values, middle, rtol=rtol, atol=atol):
        raise ValueError(f"{key} changes within the run, from {values.min()} to {values.max()}")
    return middle


def _required(run: RunValues, key: str) -> float:
    value = _single(run, key)
    if value is None:
        raise KeyError(key)
    return value


def signal_ranges(unit: str, photon_energy: float) -> tuple[tuple[float, float], ...]:
    """(lowest, highest) corrected signal of each gain stage, in "ADU", "keV" or "photons".

    ADU are those of high gain, onto which the other stages are scaled.
    """
    per = {"ADU": 1 / HIGH_GAIN_ADU_PER_KEV, "keV": 1.0, "photons": photon_energy}[unit]
    return tuple((low / per, high / per) for low, high in SIGNAL_RANGES_KEV)


def double_size_pixels() -> np.ndarray:
    """True for the pixels of twice the width at the inner chip borders: bool (slow_scan, fast_scan)."""
    wide = np.zeros((SLOW_SCAN, FAST_SCAN), bool)
    borders = np.arange(ASIC_SHAPE[0], SLOW_SCAN, ASIC_SHAPE[0])
    wide[borders - 1], wide[borders] = True, True
    return wide


_MAP = ("fast_scan", "slow_scan", "cell", "gain")
_CELL_MAP = ("fast_scan", "slow_scan", "cell")
_SCAN_MAP = ("quantity", "cell", "fast_scan", "slow_scan")

_CONSTANTS = {
    "Offset": ConstantFacts("f8", _MAP, "ADU", "dark signal", _DARK),
    "Noise": ConstantFacts("f8", _MAP, "ADU", "spread of the dark signal", _DARK),
    "ThresholdsDark": ConstantFacts(
        "f8",
        ("fast_scan", "slow_scan", "cell", "quantity"),
        "ADU",
        f"gain plane: {', '.join(THRESHOLDS_DARK)}",
        _DARK,
    ),
    "BadPixelsDark": ConstantFacts("u4", _MAP, "", "bad pixels found in darks", _DARK),
    "SlopesPC": ConstantFacts(
        "f4", _SCAN_MAP, "ADU per step", f"pulsed capacitor: {', '.join(SLOPES_PC)}", _SCAN
    ),
    "BadPixelsPC": ConstantFacts("u4", _CELL_MAP, "", "bad pixels found with the pulsed capacitor", _SCAN),
    "SlopesFF": ConstantFacts("f4", _CELL_MAP, "ADU/keV", "signal per photon energy", _ILLUMINATED),
    "BadPixelsFF": ConstantFacts("u4", _CELL_MAP, "", "bad pixels found in flat fields", _ILLUMINATED),
}

AGIPD = Detector(
    name="agipd",
    title="AGIPD_1M",
    detector_type="AGIPD-Type",
    module_shape=(SLOW_SCAN, FAST_SCAN),
    pixel_size_mm=0.2,
    first_module=0,
    aggregator="AGIPD{module:02d}",
    raw_source="{karabo_id}/DET/{module}CH0:xtdf",
    corrected_source="{karabo_id}/CORR/{module}CH0:output",
    control_aggregator="AGIPD1MCTRL00",
    control_source="{control}/MDL/FPGA_COMP",
    index_group="image",
    frames_in_train=False,
    planes=(2,),
    image_keys={"data": "u2"},
    frame_keys={"cellId": "u2", "pulseId": "u8", "trainId": "u8", "length": "u4", "status": "u2"},
    train_keys={},
    corrected_keys={"data": "f4", "gain": "u1", "mask": "u4"},
    corrected_frame_keys={"blShift": "f4"},
    cell_key="cellId",
    gain_stages=("high", "medium", "low"),
    constants=_CONSTANTS,
    read_conditions=read_conditions,
    condition_units={"Sensor Bias Voltage": "V", "Acquisition rate": "MHz", "Source energy": "keV"},
)

AGIPD_500K = replace(AGIPD, name="agipd_500k", title="AGIPD_500K2G", control_aggregator="AGIPD500K2GCTRL00")
"""Eight modules of the second generation; all else is alike, and so are the notebooks."""


def agipd_of(karabo_id: str) -> Detector:
    """Which AGIPD has that name, e.g. "HED_DET_AGIPD500K2G"."""
    return AGIPD_500K if "AGIPD500K" in karabo_id else AGIPD


def fixed_stage(conditions: Mapping[str, ConditionValue]) -> int | None:
    """The gain stage that all pixels are held in, 0 to 2; None if they switch by themselves."""
    mode = int(conditions.get("Gain mode", 0))
    return mode - 1 if mode else None
