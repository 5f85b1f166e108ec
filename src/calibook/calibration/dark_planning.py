"""Plans of dark characterisations: runs of all gain stages, the conditions that their constants serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from calibook.calibration.pins import Pins
from calibook.calibration.planning import check_geometry, run_facts
from calibook.calibration.resources import dark_memory_mb, dark_size_mb
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.errors import BadInput, BadParameter
from calibook.procedures.tasks import Plan, Task
from calibook.runs.conditions import RunConditions, read_conditions
from calibook.runs.discover import RawFile, find_karabo_id, find_raw_files


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
    if len(set(runs.values())) != len(runs):
        raise BadParameter(f"dark runs {dict(runs)}: every gain stage needs a run of its own")
    by_stage = {stage: find_raw_files(in_folder, run, detector, modules) for stage, run in runs.items()}
    first = next(iter(runs))
    karabo_id = find_karabo_id(by_stage[first], detector, karabo_id)
    read = {
        stage: read_conditions(in_folder, run, detector, karabo_id, control_source)
        for stage, run in runs.items()
    }
    _same_operation(runs, read)
    _right_modes(runs, read)
    found, begin = read[first], min(conditions.start for conditions in read.values())
    # Strictly before these darks, or a second run would find what the first one made.
    before = replace(found, start=begin - timedelta(milliseconds=1))
    pins = Pins(Store(store or None), detector, before, "prior", "")
    incomplete = _incomplete(by_stage)
    common = {
        "karabo_id": karabo_id,
        "begin": begin.isoformat(timespec="milliseconds"),
        "conditions": found.conditions,
        "valid_for": _valid_for(runs, read),
        "store": str(pins.store.folder),
    }
    tasks = [
        Task(
            name=aggregator,
            about={
                **common,
                "karabo_da": aggregator,
                "unit": pins.store.unit_of(karabo_id, aggregator, begin),
                **_files_of(aggregator, by_stage),
            },
            inputs=[path for paths in _files_of(aggregator, by_stage)["files"].values() for path in paths],
            outputs=[str(Path(out_folder).resolve() / _dark_name(runs.values(), aggregator))],
            constants=pins.of(aggregator, dict.fromkeys(constants, False))[0],
            memory_mb=dark_memory_mb(detector, found.conditions),
        )
        for aggregator in sorted({file.aggregator for file in by_stage[first]} - set(incomplete))
    ]
    every = [file for files in by_stage.values() for file in files]
    return Plan(
        tasks=tasks,
        facts={
            **run_facts(detector, karabo_id, list(runs.values()), every, in_folder, found),
            "gain stages": ", ".join(f"{stage}: run {run}" for stage, run in runs.items()),
            "constants store": str(pins.store.folder),
        },
        conditions=detector.shown(found.conditions),
        constants=pins.entries,
        problems=incomplete,
        space_mb=dark_size_mb(detector, found.conditions, len(tasks)),
    )


def _files_of(aggregator: str, by_stage: Mapping[str, Sequence[RawFile]]) -> dict[str, Any]:
    """One module's number, and the paths of its files by gain stage."""
    files = {stage: [f for f in fs if f.aggregator == aggregator] for stage, fs in by_stage.items()}
    return {
        "module": next(f.module for fs in files.values() for f in fs),
        "files": {stage: [str(f.absolute) for f in fs] for stage, fs in files.items()},
    }


def _incomplete(by_stage: Mapping[str, Sequence[RawFile]]) -> dict[str, str]:
    """{aggregator: why} of modules that some run lacks; BadInput if no module is in all runs."""
    seen = {stage: {f.aggregator for f in files} for stage, files in by_stage.items()}
    missing: dict[str, list[str]] = {}
    for aggregator in sorted(set().union(*seen.values())):
        lacking = [stage for stage, there in seen.items() if aggregator not in there]
        if lacking:
            missing[aggregator] = lacking
    if len(missing) == len(set().union(*seen.values())):
        folder = next(iter(by_stage.values()))[0].path.parent.parent
        raise BadInput(folder, f"no module has files in all dark runs ({', '.join(missing)} lack some)")
    return {a: f"no file in the run of {', '.join(stages)}" for a, stages in missing.items()}


def _same_operation(runs: Mapping[str, int], read: Mapping[str, RunConditions]) -> None:
    stages = list(runs)
    first = stages[0]
    for stage in stages[1:]:
        ours, theirs = dict(read[first].conditions), dict(read[stage].conditions)
        ours.pop("Gain mode", None)
        theirs.pop("Gain mode", None)
        differ = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        if differ:
            what = ", ".join(f"{name}: {ours.get(name)} and {theirs.get(name)}" for name in differ)
            raise BadParameter(
                f"dark runs {runs[first]} ({first}) and {runs[stage]} ({stage}) were taken under "
                f"different conditions ({what}); they can't make one set of constants"
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


def _dark_name(runs: Iterable[int], aggregator: str) -> str:
    return f"DARK-{'-'.join(f'R{run:04d}' for run in runs)}-{aggregator}.json"
