"""The HDF5 file of one constant, laid out as the facility's.

`{store}/xfel/cal/{detector type}/{detector unit}/cal.{unix time}.h5` holds
`/{detector unit}/{calibration}/0/data` with the attribute `dims`. What the
index knows is in the file too, as attributes of the group and as
`operating_condition/{name}`, so that the index can be made anew.
The bytes of a file depend on the constant alone, not on the time of writing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from blake3 import blake3

from calibook.constants.entry import Condition, Constant
from calibook.errors import BadInput, BadParameter, ConstantDamaged

# Fields that are attributes of the group; an open end is an empty text.
_ATTRIBUTES = ("calibration", "pdu", "detector_type", "begin", "end", "blake3", "description", "raw_location")


def folder_of(detector_type: str, pdu: str) -> Path:
    """Folder of a detector unit's files, relative to the store."""
    return Path("xfel", "cal", detector_type.lower(), pdu.lower())


def storable(array: Any) -> np.ndarray:
    """The array C-contiguous and little-endian; BadParameter if it is empty or not numbers."""
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise BadParameter(
            f"a constant holds whole or floating-point numbers of up to 64 bits, not {array.dtype}"
        )
    if array.ndim == 0 or array.size == 0:
        raise BadParameter(f"a constant can't be empty or a single number: shape {array.shape}")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def content_hash(array: np.ndarray, dims: Sequence[str]) -> str:
    """Hash over dtype, shape, axis names and bytes in C order, as hexadecimal text."""
    digest = blake3(json.dumps([array.dtype.str, list(array.shape), list(dims)]).encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view("u1").data)
    return digest.hexdigest()


def identity(constant: Constant) -> str:
    """Hash of all that makes two constants the same: content, unit, calibration, conditions, validity."""
    conditions = [[c.name, c.value, c.lower, c.upper] for c in constant.conditions]
    parts = [constant.blake3, constant.pdu, constant.calibration, conditions, constant.begin, constant.end]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def write_file(path: Path, constant: Constant, array: np.ndarray) -> None:
    """Write the file of a constant; `path` must be a name that nobody reads yet."""
    with h5py.File(path, "x") as f:
        group = f.create_group(constant.dataset)
        for name in _ATTRIBUTES:
            group.attrs[name] = getattr(constant, name) or ""
        group.create_dataset("data", data=array).attrs["dims"] = list(constant.dims)
        conditions = group.create_group("operating_condition")
        for c in constant.conditions:
            value = conditions.create_dataset(c.name, data=c.value)
            value.attrs["lower_deviation"], value.attrs["upper_deviation"] = c.lower, c.upper


def read_file(store: Path, path: str, *, mapped: bool = False) -> tuple[Constant, np.ndarray]:
    """The constant a file describes (its id is 0) and its array.

    mapped: the array is the file itself, read-only, if it is stored as NumPy has it

    Raises BadInput if the file can't be read or is not a constant's.
    """
    file = store / path
    try:
        # Files never change, so nobody needs HDF5's locks, which some file systems refuse.
        with h5py.File(file, "r", locking=False) as f:
            pdu, calibration = _only(f), _only(f[_only(f)])
            dataset = f"/{pdu}/{calibration}/0"
            group = f[dataset]
            data = group["data"]
            array = _mapped(file, data) if mapped else data[()]
            facts = {name: str(group.attrs[name]) for name in _ATTRIBUTES}
            dims = tuple(str(name) for name in data.attrs["dims"])
            conditions = tuple(
                _condition(name, value) for name, value in group["operating_condition"].items()
            )
    except FileNotFoundError:
        raise BadInput(file, "the file is missing") from None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, UnicodeError) as error:
        raise BadInput(file, f"not a readable constant: {error}") from error
    end = facts.pop("end") or None
    constant = Constant(
        0, end=end, store=str(store), path=path, dataset=dataset, dims=dims, shape=array.shape,
        dtype=array.dtype.str, conditions=tuple(sorted(conditions, key=lambda c: c.name)), **facts,
    )  # fmt: skip
    return constant, array


def _mapped(file: Path, data: h5py.Dataset) -> np.ndarray:
    """The dataset's place in its file, where it has one; else a copy. Files of the store never change."""
    place = None if data.chunks or not data.dtype.isnative or data.external else data.id.get_offset()
    return data[()] if place is None else np.memmap(file, data.dtype, "r", place, data.shape)


def _only(group: h5py.Group) -> str:
    """Name of a group's only member."""
    (name,) = group
    return name


def _condition(name: str, dataset: h5py.Dataset) -> Condition:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    value = dataset.asstr()[()] if is_text else float(dataset[()])
    return Condition(
        name, value, float(dataset.attrs["lower_deviation"]), float(dataset.attrs["upper_deviation"])
    )


def load_checked(constant: Constant, *, mapped: bool = False) -> np.ndarray:
    """The constant's array, after comparing the whole file with the entry.

    mapped: as in `read_file`

    Raises ConstantDamaged, naming the constant, the file and what differs.
    """
    try:
        found, array = read_file(Path(constant.store), constant.path, mapped=mapped)
    except BadInput as error:
        raise ConstantDamaged(f"{constant}: file {error.file}: {error.why}") from error
    if content_hash(array, found.dims) != constant.blake3:
        what = _differences(constant, found, ("dtype", "shape", "dims")) or ["the array's content"]
    else:
        what = _differences(constant, found, (*_ATTRIBUTES, "dataset", "conditions"))
    if what:
        raise ConstantDamaged(
            f"{constant}: file {constant.file} is not what was put; differs in {'; '.join(what)}"
        )
    return array


def _differences(put: Constant, found: Constant, names: Sequence[str]) -> list[str]:
    pairs = ((name, getattr(put, name), getattr(found, name)) for name in names)
    return [f"{name} (was {a!r}, is {b!r})" for name, a, b in pairs if a != b]


def load_pinned(entry: Mapping[str, Any], *, mapped: bool = False) -> np.ndarray:
    """The array of a pinned constant (`Constant.to_dict`), hash checked, without any database.

    mapped: the array is the file itself, read-only, where this can be: for who reads it but once

    Returns the array as stored, with axes `entry["dims"]`.
    Raises ConstantDamaged if the file is missing or not what was pinned.
    """
    return load_checked(Constant.from_dict(entry), mapped=mapped)
