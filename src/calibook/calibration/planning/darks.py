"""Plans of dark characterisations: runs of all gain stages, the conditions that their constants serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from calibook.calibration.planning.characterisations import plan_characterisation
from calibook.calibration.planning.common import check_geometry
from calibook.calibration.planning.pins import Pins
from calibook.calibration.planning.resources import dark_bytes, dark_memory_mb
from calibook.calibration.planning.run_sets import RunSet
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.errors import BadParameter
from calibook.procedures.tasks import Plan
from calibook.runs.conditions import RunConditions


def plan_darks(
    detector: Detector,
    *,
    in_folder: str,
    runs: Mapping[str, int],
    out_folder: str,
    constants: Iterable[str],
    modules: Sequence[int] = (-1,),
    karabo_id: str = "",
    control_source: str = "",
    store: str = "",
    geometry_file: str = "",
) -> Plan:
    """One task per module, over the dark runs of all gain stages.

    runs: {gain stage: run number}, high gain first. Their conditions may differ
        in the gain mode alone: see `_valid_for`.
    constants: calibrations whose latest entry before these darks is pinned,
        for the difference that the report shows
    geometry_file: for the pictures; one that can't be read raises BadParameter here
    """
    check_geometry(detector, geometry_file)
    taken = RunSet.read("dark runs", detector, in_folder, runs, modules, karabo_id, control_source)
    taken.refuse_different(but_for={"Gain mode"})
    _right_modes(runs, taken.conditions)
    # Strictly before these darks, or a second run would find what the first one made.
    before = replace(taken.first, start=taken.begin - timedelta(milliseconds=1))
    return plan_characterisation(
        detector,
        taken,
        Pins(Store(store or None), detector, before, "prior", ""),
        dict.fromkeys(constants, False),
        makes="DARK",
        out_folder=out_folder,
        valid_for=_valid_for(runs, taken.conditions),
        memory_mb=dark_memory_mb(detector, taken.first.conditions),
        module_bytes=dark_bytes(detector, taken.first.conditions),
        facts={"gain stages": ", ".join(f"{stage}: run {run}" for stage, run in runs.items())},
    )


def _right_modes(runs: Mapping[str, int], read: Mapping[str, RunConditions]) -> None:
    """Fixed gain modes count from 1, high gain."""
    for expected, (stage, run) in enumerate(runs.items(), start=1):
        mode = read[stage].conditions.get("Gain mode")
        if mode is not None and mode != expected:
            raise BadParameter(
                f"dark run {run}, given for {stage}, was taken with gain mode {mode:g}, not {expected}; "
                "were the runs given in another order than high, medium, low gain?"
            )


def _valid_for(runs: Mapping[str, int], read: Mapping[str, RunConditions]) -> list[dict[str, ConditionValue]]:
    """Conditions that the constants of these darks serve.

    Stages reached by forced switching serve dynamic gain, which has no gain
    mode among its conditions. Stages held by a fixed gain mode serve fixed gain:
    the modes of these runs, and mode 1, high gain. The two are not the same.
    """
    first, *others = (dict(conditions.conditions) for conditions in read.values())
    fixed = [conditions["Gain mode"] for conditions in others if "Gain mode" in conditions]
    if not fixed and "Gain mode" not in first:
        return [first]
    if len(fixed) < len(others):
        raise BadParameter(
            f"dark runs {', '.join(map(str, runs.values()))}: some were taken with a fixed gain mode and "
            "some with forced switching; give three runs of one kind"
        )
    return [{**first, "Gain mode": mode} for mode in sorted({1.0, *map(float, fixed)})]
