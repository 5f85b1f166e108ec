"""Plans of the standard procedures: which files, which conditions, which constants.

A plan is made from metadata alone. Every constant of a request is pinned here
(entry and content hash), so that all of its tasks use the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from calibook.calibration.planning.common import check_geometry, run_facts
from calibook.calibration.planning.pins import Pins, Wanted
from calibook.calibration.planning.resources import corrected_size_mb, correction_memory_mb
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.procedures.tasks import Plan, Task
from calibook.runs.conditions import RunConditions, read_conditions
from calibook.runs.discover import RawFile, find_karabo_id, find_raw_files, missing_files
from calibook.runs.names import FileName, corrected_name


def plan_correction(
    detector: Detector,
    *,
    in_folder: str,
    run: int,
    out_folder: str,
    constants: Wanted | Callable[[Mapping[str, ConditionValue]], Wanted],
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

    constants: {calibration: required}, or what gives that for the run's
        conditions; instead of True a text that says what it is required for. A
        file whose unit lacks a required one still gets its task, which ends with
        the cause "no constants"; if every unit lacks one, NoConstants is raised here.
    geometry_file: for the pictures; one that can't be read raises BadParameter here
    """
    check_geometry(detector, geometry_file)
    files = find_raw_files(in_folder, run, detector, modules, sequences)
    karabo_id = find_karabo_id(files, detector, karabo_id)
    found = read_conditions(in_folder, run, detector, karabo_id, control_source)
    pins = Pins(Store(store or None), detector, found, strategy, frozen)
    wanted = constants(found.conditions) if callable(constants) else constants
    tasks = _tasks(files, found, pins, wanted, Path(out_folder).resolve())
    pins.refuse_if_nothing_found(tasks)
    return Plan(
        tasks=tasks,
        facts={
            **run_facts(detector, found, in_folder, [run], files),
            "corrected data": str(Path(out_folder).resolve()),
            "constants store": str(pins.store.folder),
        },
        conditions=detector.shown(found.conditions),
        constants=pins.entries,
        problems=missing_files(files),
        space_mb=corrected_size_mb(detector, files),
    )


def _tasks(
    files: Sequence[RawFile], found: RunConditions, pins: Pins, wanted: Wanted, out: Path
) -> list[Task]:
    memory_mb = correction_memory_mb(pins.detector, found.conditions)
    tasks = []
    for file in files:
        constants, missing = pins.of(file.aggregator, wanted)
        about = {
            "module": file.module,
            "sequence": file.sequence,
            "karabo_id": found.karabo_id,
            "started": found.start.isoformat(timespec="milliseconds"),
            "conditions": found.conditions,
            "missing_constants": missing,
        }
        name = f"{file.aggregator}-S{file.sequence:05d}"
        output = corrected_name(FileName("RAW", file.run, file.aggregator, file.sequence))
        tasks.append(Task(name, about, [str(file.path)], [f"{out}/{output}"], constants, memory_mb))
    return tasks
