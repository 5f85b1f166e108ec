"""The ways to measure AGIPD's gains: what they need and make, and what they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from calibook.calibration.agipd.runs import detector_of_plan
from calibook.calibration.planning.gains import GainKind
from calibook.constants import Constant, Store
from calibook.detectors.agipd import SLOPES_PC, fixed_stage
from calibook.detectors.base import ConditionValue, Detector
from calibook.errors import BadParameter
from calibook.procedures.tasks import Plan, Task

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


def with_previous(plan: Plan, kind: GainKind) -> Plan:
    """The plan, with each task's latest earlier constant of the kind pinned, too, where the store has one.

    For the change that the report shows. Strictly before the task's runs, or a
    second request would find what the first one made.
    """
    calibration = next(iter(kind.makes))
    detector, entries, tasks = detector_of_plan(plan), list(plan.constants), []
    for task in plan.tasks:
        previous = _previous(task, calibration, detector)
        if previous is not None:
            task = replace(task, constants=[*task.constants, len(entries)])
            entries.append({**previous.to_dict(), "karabo_da": task.about["karabo_da"]})
        tasks.append(task)
    return replace(plan, tasks=tasks, constants=entries)


def _previous(task: Task, calibration: str, detector: Detector) -> Constant | None:
    about = task.about
    return Store(about["store"]).find(
        pdu=about["unit"],
        calibration=calibration,
        conditions=detector.conditions_of(calibration, about["conditions"]),
        at=datetime.fromisoformat(about["begin"]) - timedelta(milliseconds=1),
        strategy="prior",
    )
