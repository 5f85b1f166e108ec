"""Plans of gain characterisations: runs of a flat field or a scan, with the dark constants they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from calibook.calibration.planning.characterisations import plan_characterisation
from calibook.calibration.planning.common import check_geometry
from calibook.calibration.planning.pins import Pins, Wanted
from calibook.calibration.planning.resources import gain_bytes, gain_memory_mb
from calibook.calibration.planning.run_sets import RunSet
from calibook.constants import Store
from calibook.detectors.base import ConditionValue, Detector
from calibook.procedures.tasks import Plan


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
    conditions = taken.first.conditions
    return plan_characterisation(
        detector,
        taken,
        Pins(Store(store or None), detector, taken.first, strategy, frozen),
        kind.needs(conditions),
        makes=next(iter(kind.makes)),
        out_folder=out_folder,
        valid_for=[conditions],
        memory_mb=gain_memory_mb(detector, conditions),
        module_bytes=gain_bytes(detector, conditions, sum(kind.makes.values())),
    )
