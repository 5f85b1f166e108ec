"""The ways to measure AGIPD's gains: what they need and make."""

from __future__ import annotations

from collections.abc import Mapping

from calibook.calibration.planning.gains import GainKind
from calibook.detectors.agipd import SLOPES_PC, fixed_stage
from calibook.detectors.base import ConditionValue
from calibook.errors import BadParameter

_HIGH = 0


def _flat_field_needs(conditions: Mapping[str, ConditionValue]) -> dict[str, bool]:
    stage = fixed_stage(conditions)
    if stage not in (None, _HIGH):
        raise BadParameter(
            "the flat-field runs were taken in a fixed gain mode other than high gain, "
            "which sees no single photons"
        )
    return {"Offset": True, "ThresholdsDark": stage is None, "BadPixelsDark": True}


def _scan_needs(conditions: Mapping[str, ConditionValue]) -> dict[str, bool]:
    if fixed_stage(conditions) is not None:
        raise BadParameter(
            "the runs of the scan were taken in a fixed gain mode: "
            "pixels that don't switch have one slope only"
        )
    return {"ThresholdsDark": True}


FLAT_FIELD = GainKind("flat-field runs", {"SlopesFF": 4, "BadPixelsFF": 4}, _flat_field_needs)
PULSED_CAPACITOR = GainKind(
    "runs of the scan", {"SlopesPC": 4 * len(SLOPES_PC), "BadPixelsPC": 4}, _scan_needs
)
