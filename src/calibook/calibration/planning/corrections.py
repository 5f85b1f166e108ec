"""Plans of the standard procedures: which files, which conditions, which constants.

A plan is made from metadata alone. Every constant of a request is pinned here
(entry and content hash), so that all of its tasks use the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from calibook.calibration.planning.pins import Pins, Wanted
from calibook.calibration.planning.resources import corrected_size_mb, correction_memory_mb
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.detectors.geometry import geometry_of
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
    out, memory_mb = Path(out_folder).resolve(), correction_memory_mb(detector, found.conditions)
    tasks = []
    for file in files:
        indices, missing = pins.of(file.aggregator, wanted)
        about = {
            "module": file.module,
            "sequence": file.sequence,
            "karabo_id": karabo_id,
            "started": found.start.isoformat(timespec="milliseconds"),
            "conditions": found.conditions,
            "missing_constants": missing,
        }
        tasks.append(
            Task(
                name=f"{file.aggregator}-S{file.sequence:05d}",
                about=about,
                inputs=[str(file.path)],
                outputs=[f"{out}/{_corrected_name(file)}"],
                constants=indices,
                memory_mb=memory_mb,
            )
        )
    pins.refuse_if_nothing_found(tasks)
    return Plan(
        tasks=tasks,
        facts={
            **run_facts(detector, karabo_id, [run], files, in_folder, found),
            "corrected data": str(out),
            "constants store": str(pins.store.folder),
        },
        conditions=detector.shown(found.conditions),
        constants=pins.entries,
        problems=missing_files(files),
        space_mb=corrected_size_mb(detector, files),
    )


def check_geometry(detector: Detector, geometry_file: str) -> None:
    """Better now than after all tasks, when the pictures are made."""
    if geometry_file:
        geometry_of(detector, (), geometry_file)


def _corrected_name(file: RawFile) -> str:
    return str(corrected_name(FileName("RAW", file.run, file.aggregator, file.sequence)))


def run_facts(
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
