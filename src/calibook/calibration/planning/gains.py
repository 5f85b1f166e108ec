"""Plans of gain characterisations: runs of a flat field or a scan, with the dark constants they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from calibook.calibration.planning.corrections import check_geometry, run_facts
from calibook.calibration.planning.pins import Pins, Wanted
from calibook.calibration.planning.resources import BUFFERED_BYTES
from calibook.calibration.planning.run_sets import RunSet
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.procedures.tasks import Plan, Task

_MB = 1 << 20
# Of a pixel and memory cell: five thresholds in double precision, twice, and what is packed already.
_LARGEST_CONSTANT_BYTES = 5 * 8 * 2 + 32


@dataclass(frozen=True)
class GainKind:
    """A way to measure gains.

    what: its runs are, e.g. "flat-field runs"
    makes: what comes out, and how large: {calibration: bytes per pixel and memory cell}
    needs: constants that it needs, of the conditions of its runs: {calibration: required};
        raises BadParameter if it can't be done under such conditions
    """

    what: str
    makes: Mapping[str, int]
    needs: Callable[[Mapping[str, ConditionValue]], Wanted]


def plan_gains(
    detector: Detector,
    kind: GainKind,
    *,
    in_folder: str,
    runs: Mapping[str, int],
    out_folder: str,
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
    geometry_file: for the pictures; one that can't be read raises BadParameter here

    Constants are pinned as they are valid for the first run. Raises NoConstants if no
    module has the required ones.
    """
    check_geometry(detector, geometry_file)
    taken = RunSet.read(kind.what, detector, in_folder, runs, modules, karabo_id, control_source)
    taken.refuse_different()
    first, begin, incomplete = taken.first, taken.begin, taken.incomplete()
    samples = int(first.conditions["Memory cells"]) * prod(detector.module_shape)
    wanted = kind.needs(first.conditions)
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
                outputs=[str(Path(out_folder).resolve() / _list_name(kind, runs, aggregator))],
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
        space_mb=len(tasks) * samples * sum(kind.makes.values()) // _MB,
    )


def _memory_mb(samples: int) -> int:
    """A large dark constant while it is read, or the results while they are put, and frames in work."""
    return 400 + (samples * _LARGEST_CONSTANT_BYTES + 2 * BUFFERED_BYTES) // _MB


def _list_name(kind: GainKind, runs: Mapping[str, int], aggregator: str) -> str:
    return f"{next(iter(kind.makes))}-{'-'.join(f'R{run:04d}' for run in runs.values())}-{aggregator}.json"
