"""Plans of gain characterisations: runs of a flat field or a scan, with the dark constants they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path

from calibook.calibration.pins import Pins, Wanted
from calibook.calibration.planning import check_geometry, run_facts
from calibook.calibration.resources import BUFFERED_BYTES
from calibook.calibration.run_sets import RunSet
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.procedures.tasks import Plan, Task

_MB = 1 << 20
# Of a pixel and memory cell: five thresholds in double precision, twice, and what is packed already.
_LARGEST_CONSTANT_BYTES = 5 * 8 * 2 + 32


def plan_gains(
    detector: Detector,
    *,
    in_folder: str,
    runs: Mapping[str, int],
    out_folder: str,
    what: str,
    makes: Mapping[str, int],
    constants: Wanted | Callable[[Mapping[str, ConditionValue]], Wanted],
    modules: Sequence[int] = (-1,),
    karabo_id: str = "",
    control_source: str = "",
    store: str = "",
    strategy: str = "closest",
    frozen: str = "",
    geometry_file: str = "",
) -> Plan:
    """One task per module, over all runs.

    runs: {what it is for: run number}; they must have been taken under the same conditions
    what: the runs are, e.g. "flat-field runs"
    makes: what will be made, and bytes of it per pixel and memory cell: {calibration: bytes}
    constants: {calibration: required}, or a function that makes that of the conditions;
        pinned as they are valid for the first run
    geometry_file: for the pictures; one that can't be read raises BadParameter here

    Raises NoConstants if no module has the required ones.
    """
    check_geometry(detector, geometry_file)
    taken = RunSet.read(what, detector, in_folder, runs, modules, karabo_id, control_source)
    taken.refuse_different()
    first, begin, incomplete = taken.first, taken.begin, taken.incomplete()
    samples = int(first.conditions["Memory cells"]) * prod(detector.module_shape)
    wanted = constants(first.conditions) if callable(constants) else constants
    pins = Pins(Store(store or None), detector, first, strategy, frozen)
    tasks = []
    for aggregator in sorted({file.aggregator for file in taken.every_file} - set(incomplete)):
        indices, missing = pins.of(aggregator, wanted)
        about = {
            **taken.about(aggregator),
            "karabo_da": aggregator,
            "karabo_id": first.karabo_id,
            "unit": pins.store.unit_of(first.karabo_id, aggregator, begin),
            "begin": begin.isoformat(timespec="milliseconds"),
            "conditions": first.conditions,
            "valid_for": [first.conditions],
            "store": str(pins.store.folder),
            "missing_constants": missing,
        }
        tasks.append(
            Task(
                name=aggregator,
                about=about,
                inputs=[path for paths in about["files"].values() for path in paths],
                outputs=[str(Path(out_folder).resolve() / _list_name(makes, runs, aggregator))],
                constants=indices,
                memory_mb=_memory_mb(samples),
            )
        )
    pins.refuse_if_nothing_found(tasks)
    return Plan(
        tasks=tasks,
        facts={
            **run_facts(detector, first.karabo_id, list(runs.values()), taken.every_file, in_folder, first),
            "constants store": str(pins.store.folder),
        },
        conditions=detector.shown(first.conditions),
        constants=pins.entries,
        problems=incomplete,
        space_mb=len(tasks) * samples * sum(makes.values()) // _MB,
    )


def _memory_mb(samples: int) -> int:
    """A large dark constant while it is read, or the results while they are put, and frames in work."""
    return 400 + (samples * _LARGEST_CONSTANT_BYTES + 2 * BUFFERED_BYTES) // _MB


def _list_name(makes: Mapping[str, int], runs: Mapping[str, int], aggregator: str) -> str:
    return f"{next(iter(makes))}-{'-'.join(f'R{run:04d}' for run in runs.values())}-{aggregator}.json"
