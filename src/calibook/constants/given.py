"""What a person gives for a constant: a file with an array, conditions as text, a run."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from calibook import detectors
from calibook.constants.axes import STORED_DIMS, as_stored
from calibook.constants.entry import Condition
from calibook.constants.names import known_names
from calibook.detectors.base import ConditionValue, ConstantFacts, Detector
from calibook.errors import BadInput, BadParameter

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CONDITION = re.compile(rf"({_NUMBER})(?:\s*(?:\+-|±)\s*({_NUMBER}))?")


def detector_named(name: str) -> Detector:
    """The detector of the module `calibook.detectors.{name}`; BadParameter if there is none."""
    known: dict[str, Detector] = {}
    for module in pkgutil.iter_modules(detectors.__path__):
        content = vars(importlib.import_module(f"{detectors.__name__}.{module.name}"))
        known |= {d.name: d for d in content.values() if isinstance(d, Detector)}
    if name not in known:
        raise BadParameter(f"detector {name!r} is unknown; {known_names(name, sorted(known))}")
    return known[name]


def facts_of(calibration: str, detector_type: str, detector: Detector) -> ConstantFacts | None:
    """Facts of a kind of constant; None if the detector type is one we have no facts of."""
    if detector_type != detector.detector_type:
        return None
    if calibration not in detector.constants:
        known = known_names(calibration, sorted(detector.constants))
        raise BadParameter(f"calibration={calibration!r} is no constant of {detector.title}; {known}")
    return detector.constants[calibration]


def read_array(file: Path, dataset: str = "") -> np.ndarray:
    """The array of a `.npy` file, or of one dataset of an HDF5 file."""
    if file.suffix.lower() == ".npy":
        if dataset:
            raise BadParameter(
                f"dataset={dataset!r}: {file.name} is a .npy file, it holds one array without a name"
            )
        try:
            array = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(file, f"not a readable .npy file: {error}") from None
        if not isinstance(array, np.ndarray):
            raise BadInput(file, "not a .npy file but an archive of several arrays")
        return array
    if file.suffix.lower() in (".h5", ".hdf5"):
        return _read_hdf5(file, dataset)
    raise BadParameter(f"{file}: the array must be in a .npy, .h5 or .hdf5 file")


def _read_hdf5(file: Path, dataset: str) -> np.ndarray:
    import h5py

    try:
        with h5py.File(file, "r") as f:
            names: list[str] = []
            f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            if dataset.strip("/") not in names:
                asked = (
                    f"dataset={dataset!r} is not in {file.name}"
                    if dataset
                    else f"which dataset of {file.name}?"
                )
                raise BadParameter(f"{asked}; {known_names(dataset, names)}")
            return f[dataset][()]
    except OSError as error:
        raise BadInput(file, f"not a readable HDF5 file: {error}") from None


def stored_array(array: np.ndarray, dims: Sequence[str], facts: ConstantFacts | None) -> np.ndarray:
    """The array with axes and dtype as the detector's constants have them.

    Raises BadParameter if axes don't fit, or the dtype can't hold the values.
    """
    array = as_stored(array, dims, facts.dims if facts else STORED_DIMS)
    if facts is None or array.dtype == np.dtype(facts.dtype):
        return array
    wanted = np.dtype(facts.dtype)
    if array.dtype.kind not in ("biu" if wanted.kind in "iu" else "biuf"):
        raise BadParameter(f"the array has {array.dtype} numbers, this kind of constant has {wanted}")
    if wanted.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        if array.min() < limits.min or array.max() > limits.max:
            raise BadParameter(f"values from {array.min()} to {array.max()} do not fit into {wanted}")
    return array.astype(wanted)


def parse_condition(text: str, tolerances: Mapping[str, float] | None = None) -> Condition:
    """A condition from `name=180`, `name=10+-0.5` or `name="text"`.

    tolerances: those to take where none is given, {name: half width}
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise BadParameter(f'condition {text!r}: write it as "Sensor Bias Voltage=180" or "...=10+-0.5"')
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return Condition(name, value[1:-1])
    found = _CONDITION.fullmatch(value)
    if not found:
        raise BadParameter(
            f"condition {text!r}: {value!r} is no number like 10 or 10+-0.5; text goes in double quotes"
        )
    tolerance = float(found[2]) if found[2] else (tolerances or {}).get(name, 0.0)
    return Condition(name, float(found[1]), tolerance, tolerance)


def check_names(conditions: Iterable[Condition], calibration: str, facts: ConstantFacts | None) -> None:
    """BadParameter for a condition that this kind of constant does not depend on: nobody would find it."""
    for c in conditions:
        if facts and c.name not in facts.conditions:
            known = known_names(c.name, list(facts.conditions))
            raise BadParameter(f"{calibration} does not depend on a condition {c.name!r}; {known}")


def conditions_of_run(
    in_folder: Path,
    run: int,
    detector: Detector,
    calibration: str,
    karabo_id: str = "",
    control_source: str = "",
) -> tuple[list[Condition], datetime, str]:
    """(conditions that a kind of constant depends on, with tolerances; start; karabo-id) of a raw run."""
    from calibook.runs.conditions import read_conditions
    from calibook.runs.discover import find_karabo_id, find_raw_files

    karabo_id = find_karabo_id(find_raw_files(in_folder, run, detector), detector, karabo_id)
    found = read_conditions(in_folder, run, detector, karabo_id, control_source)
    return conditions_for(detector, calibration, found.conditions), found.start, found.karabo_id


def conditions_for(
    detector: Detector, calibration: str, found: Mapping[str, ConditionValue]
) -> list[Condition]:
    """What a kind of constant depends on, with the detector's tolerances."""
    return [
        Condition(name, value, *(2 * [detector.tolerances.get(name, 0.0)]))
        for name, value in detector.conditions_of(calibration, found).items()
    ]
