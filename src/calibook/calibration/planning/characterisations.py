"""Plans of characterisations: several runs, from which a task per module makes constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibook.calibration.planning.common import run_facts
from calibook.calibration.planning.pins import Pins, Wanted
from calibook.calibration.planning.run_sets import RunSet
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.procedures.tasks import Plan, Task


def plan_characterisation(
    detector: Detector,
    taken: RunSet,
    pins: Pins,
    wanted: Wanted,
    *,
    makes: str,
    out_folder: str,
    valid_for: Sequence[Mapping[str, ConditionValue]],
    memory_mb: int,
    module_bytes: int,
    facts: Mapping[str, str] | None = None,
) -> Plan:
    """One task per module that all runs have; it leaves a list of the constants that it made.

    wanted: constants that it needs, {calibration: required}; NoConstants is raised
        if no module has the required ones
    makes: how the lists' names begin, e.g. "DARK"
    valid_for: sets of conditions that the new constants serve
    memory_mb: of a task; module_bytes: on disk, of a module's constants
    facts: to be told besides
    """
    incomplete = taken.incomplete()
    listed = f"{makes}-{'-'.join(f'R{run:04d}' for run in taken.runs.values())}"
    tasks = []
    for aggregator in sorted({file.aggregator for file in taken.every_file} - set(incomplete)):
        constants, missing = pins.of(aggregator, wanted)
        about = {
            **_about(taken, pins.store, aggregator),
            "valid_for": valid_for,
            "missing_constants": missing,
        }
        inputs = [path for paths in about["files"].values() for path in paths]
        outputs = [str(Path(out_folder).resolve() / f"{listed}-{aggregator}.json")]
        tasks.append(Task(aggregator, about, inputs, outputs, constants, memory_mb))
    pins.refuse_if_nothing_found(tasks)
    told = run_facts(detector, taken.first, taken.in_folder, taken.runs.values(), taken.every_file)
    return Plan(
        tasks=tasks,
        facts={**told, **(facts or {}), "constants store": str(pins.store.folder)},
        conditions=detector.shown(taken.first.conditions),
        constants=pins.entries,
        problems=incomplete,
        space_mb=len(tasks) * module_bytes >> 20,
    )


def _about(taken: RunSet, store: Store, aggregator: str) -> dict[str, Any]:
    """What is known of a module and its constants."""
    return {
        **taken.about(aggregator),
        "karabo_da": aggregator,
        "karabo_id": taken.first.karabo_id,
        "unit": store.unit_of(taken.first.karabo_id, aggregator, taken.begin),
        "begin": taken.begin.isoformat(timespec="milliseconds"),
        "conditions": taken.first.conditions,
        "store": str(store.folder),
    }
