"""Plans of the standard procedures: which files, which conditions, which constants.

A plan is made from metadata alone. Every constant of a request is pinned here
(entry and content hash), so that all of its tasks use the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from calibook.calibration.pins import Pins
from calibook.calibration.resources import (
    corrected_size_mb,
    correction_memory_mb,
    dark_memory_mb,
    dark_size_mb,
    raw_size_mb,
)
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.detectors.geometry import geometry_of
from calibook.errors import BadParameter
from calibook.procedures.tasks import Plan, Task
from calibook.runs.conditions import RunConditions, read_conditions
from calibook.runs.discover import RawFile, find_karabo_id, find_raw_files
from calibook.runs.names import FileName, corrected_name, run_folder_name


def plan_correction(
    detector: Detector,
    *,
    in_folder: str,
    run: int,
    out_folder: str,
    constants: Mapping[str, bool],
    modules: Sequence[int] = (-1,),
    sequences: Sequence[int] = (-1,),
    karabo_id: str = "",
    control_source: str = "",
    store: str = "",
    strategy: str = "closest",
    frozen: str = "",
    geometry_file: str = "",
) -> Plan:
    """One task per raw file, each with the constants of its detector unit.

    constants: {calibration: required}. A file whose unit lacks a required one
        still gets its task, which ends with the cause "no constants"; if every
        unit lacks one, NoConstants is raised here.
    geometry_file: for the pictures; one that can't be read raises BadParameter here
    """
    _check_geometry(detector, geometry_file)
    files = find_raw_files(in_folder, run, detector, modules, sequences)
    karabo_id = find_karabo_id(files, detector, karabo_id)
    found = read_conditions(in_folder, run, detector, karabo_id, control_source)
    pins = Pins(Store(store or None), detector, found, strategy, frozen)
    tasks = []
    for file in files:
        indices, missing = pins.of(file.aggregator, constants)
        about = {
            "module": file.module,
            "sequence": file.sequence,
            "karabo_id": karabo_id,
            "started": found.start.isoformat(timespec="milliseconds"),
            "missing_constants": missing,
        }
        tasks.append(
            Task(
                name=f"{file.aggregator}-S{file.sequence:05d}",
                about=about,
                inputs=[str(file.path.resolve())],
                outputs=[str(Path(out_folder).resolve() / _corrected_name(file))],
                constants=indices,
                memory_mb=correction_memory_mb(detector, found.conditions),
            )
        )
    pins.refuse_if_nothing_found(tasks)
    return Plan(
        tasks=tasks,
        facts={
            **_facts(detector, karabo_id, [run], files, in_folder, found),
            "corrected data": str(Path(out_folder).resolve()),
            "constants store": str(pins.store.folder),
        },
        conditions=detector.shown(found.conditions),
        constants=pins.entries,
        space_mb=corrected_size_mb(detector, files),
    )


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
    _check_geometry(detector, geometry_file)
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
    found = read[first]
    valid_for = _valid_for(runs, read)
    begin = min(conditions.start for conditions in read.values())
    # Strictly before these darks, or a second run would find what the first one made.
    before = replace(found, start=begin - timedelta(milliseconds=1))
    pins = Pins(Store(store or None), detector, before, "prior", "")
    tasks = []
    for aggregator in sorted({file.aggregator for file in by_stage[first]}):
        files = {stage: [f for f in fs if f.aggregator == aggregator] for stage, fs in by_stage.items()}
        paths = {stage: [str(f.path.resolve()) for f in fs] for stage, fs in files.items()}
        indices, _ = pins.of(aggregator, dict.fromkeys(constants, False))
        tasks.append(
            Task(
                name=aggregator,
                about={
                    "module": files[first][0].module,
                    "karabo_id": karabo_id,
                    "karabo_da": aggregator,
                    "unit": pins.store.unit_of(karabo_id, aggregator, begin),
                    "begin": begin.isoformat(timespec="milliseconds"),
                    "conditions": found.conditions,
                    "valid_for": valid_for,
                    "store": str(pins.store.folder),
                    "files": paths,
                },
                inputs=[path for stage in paths.values() for path in stage],
                outputs=[str(Path(out_folder).resolve() / _dark_name(runs.values(), aggregator))],
                constants=indices,
                memory_mb=dark_memory_mb(detector, found.conditions),
            )
        )
    every = [file for files in by_stage.values() for file in files]
    return Plan(
        tasks=tasks,
        facts={
            **_facts(detector, karabo_id, list(runs.values()), every, in_folder, found),
            "gain stages": ", ".join(f"{stage}: run {run}" for stage, run in runs.items()),
            "constants store": str(pins.store.folder),
        },
        conditions=detector.shown(found.conditions),
        constants=pins.entries,
        space_mb=dark_size_mb(detector, found.conditions, len(tasks)),
    )


def plan_simulation(
    detector: Detector,
    *,
    out_folder: str,
    run: int,
    modules: int,
    trains: int,
    frames_per_train: int,
    trains_per_sequence: int,
) -> Plan:
    """One task that writes all files of a simulated run."""
    folder = Path(out_folder).resolve() / run_folder_name(run)
    sequences = -(-trains // trains_per_sequence)
    outputs = [
        str(folder / str(FileName("RAW", run, detector.aggregator.format(module=module), sequence)))
        for module in range(detector.first_module, detector.first_module + modules)
        for sequence in range(sequences)
    ]
    outputs.append(str(folder / str(FileName("RAW", run, detector.control_aggregator, 0))))
    return Plan(
        tasks=[Task(name="simulate", outputs=outputs)],
        facts={"detector": detector.title, "run": str(run), "raw data": str(folder)},
        space_mb=raw_size_mb(detector, trains * modules * frames_per_train),
    )


def _check_geometry(detector: Detector, geometry_file: str) -> None:
    """Better now than after all tasks, when the pictures are made."""
    if geometry_file:
        geometry_of(detector, (), geometry_file)


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


def _corrected_name(file: RawFile) -> str:
    return str(corrected_name(FileName("RAW", file.run, file.aggregator, file.sequence)))


def _dark_name(runs: Iterable[int], aggregator: str) -> str:
    return f"DARK-{'-'.join(f'R{run:04d}' for run in runs)}-{aggregator}.json"


def _facts(
    detector: Detector,
    karabo_id: str,
    runs: Sequence[int],
    files: Sequence[RawFile],
    in_folder: str,
    found: RunConditions,
) -> dict[str, str]:
    aggregators = sorted({file.aggregator for file in files})
    return {
        "detector": f"{karabo_id} ({detector.title})",
        "run" if len(runs) == 1 else "runs": ", ".join(str(run) for run in runs),
        "first train": _minutes(found.start),
        "modules": f"{len(aggregators)}: {', '.join(aggregators)}",
        "raw files": str(len(files)),
        "raw data": str(Path(in_folder).resolve()),
    }


def _minutes(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
