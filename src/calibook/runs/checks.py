"""What must hold for a raw file before a frame of it is read.

Every check that fails raises BadInput with the file, the dataset and the cause.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from calibook.detectors.base import Detector
from calibook.errors import BadInput


def open_h5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading; BadInput that tells apart what can be wrong with it."""
    try:
        with open(path, "rb") as f:
            start = f.read(8)
    except OSError as error:
        raise BadInput(path, f"can't be opened: {error.strerror}") from None
    if not start:
        raise BadInput(path, "the file is empty")
    try:
        if not h5py.is_hdf5(path):
            raise BadInput(path, "not an HDF5 file")
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated file" in str(error):
            why = f"truncated: it ends after {path.stat().st_size} bytes, before the end of its data"
        else:
            why = f"HDF5 can't open it (damaged, truncated or still being written): {error}"
        raise BadInput(path, why) from None


class RawChecks:
    """Checks of one module's source in an open raw file."""

    def __init__(self, path: Path, h5file: h5py.File, detector: Detector, source: str):
        self.path, self.h5file, self.detector = path, h5file, detector
        self.index_path = f"INDEX/{source}/{detector.index_group}"
        self.data_path = f"INSTRUMENT/{source}/{detector.index_group}"

    def bad(self, why: str, dataset: str = "", train: int | None = None) -> BadInput:
        """The error for something wrong in this file."""
        return BadInput(self.path, why, dataset, None if train is None else int(train))

    def dataset(self, path: str) -> h5py.Dataset:
        """A dataset that must be there."""
        try:
            dataset = self.h5file[path]
        except KeyError:
            raise self.bad(f"missing; {self._nearest(path)}", path) from None
        except (OSError, RuntimeError) as error:
            raise self.bad(f"can't be read: {error}", path) from None
        if not isinstance(dataset, h5py.Dataset):
            raise self.bad("a group where a dataset should be", path)
        return dataset

    def _nearest(self, path: str) -> str:
        """What there is instead, at the level up to which the path exists."""
        group, *rest = path.split("/")
        try:
            while group in self.h5file and rest:
                group = f"{group}/{rest.pop(0)}"
            parent = group.rpartition("/")[0] or "/"
            names = sorted(self.h5file[parent])
        except (KeyError, OSError, RuntimeError, TypeError, ValueError):
            return "its group can't be read"
        return f"{parent} has {', '.join(names) or 'nothing'}"

    def column(self, path: str) -> np.ndarray:
        """Values of a one-dimensional dataset of integers."""
        dataset = self.dataset(path)
        if dataset.ndim != 1 or dataset.dtype.kind not in "iu":
            raise self.bad(f"expected integers (T,), found {_described(dataset)}", path)
        try:
            return dataset[()]
        except (OSError, RuntimeError) as error:
            raise self.bad(f"can't be read: {error}", path) from None

    def metadata(self) -> None:
        """METADATA must be there: the corrected file gets a copy of it."""
        if not isinstance(self.h5file.get("METADATA"), h5py.Group):
            raise self.bad("missing or no group", "METADATA")

    def trains(self) -> tuple[np.ndarray, np.ndarray]:
        """Train IDs u8 (T,) and timestamps u8 (T,), both without padding."""
        path = "INDEX/trainId"
        padded = self.column(path).astype("u8")
        n_trains = int(np.count_nonzero(padded))
        if n_trains == 0:
            raise self.bad("no trains in the file", path)
        train_ids = padded[:n_trains]
        if not train_ids.all():
            raise self.bad("zeros between the train IDs (only padding at the end may be 0)", path)
        timestamps = np.zeros(n_trains, "u8")
        if "INDEX/timestamp" in self.h5file:
            stored = self.column("INDEX/timestamp")[:n_trains]
            timestamps[: len(stored)] = stored
        return train_ids, timestamps

    def index(self, train_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First entry and number of entries of each train: i8 (T,)."""
        found = []
        for name in ("first", "count"):
            path = f"{self.index_path}/{name}"
            values = self.column(path)
            if len(values) < len(train_ids):
                raise self.bad(f"{len(values)} values for {len(train_ids)} trains", path)
            found.append(values[: len(train_ids)].astype("i8"))
        first, count = found
        self._check_order(train_ids, first, count)
        return first, count

    def _check_order(self, train_ids: np.ndarray, first: np.ndarray, count: np.ndarray) -> None:
        path = f"{self.index_path}/count"
        # Beyond any file: also catches u8 numbers that are negative as i8.
        absurd = (first < 0) | (count < 0) | (count > 2**40) | (first > 2**40)
        if absurd.any():
            at = int(np.argmax(absurd))
            raise self.bad(f"impossible entries: first {first[at]}, count {count[at]}", path, train_ids[at])
        if not count.any():
            raise self.bad("no frames: the count of every train is 0", path)
        used = np.flatnonzero(count)
        overlap = first[used][1:] < (first + count)[used][:-1]
        if overlap.any():
            at = used[1:][np.argmax(overlap)]
            raise self.bad("entries of this train overlap those of the one before", path, train_ids[at])

    def frames_per_entry(self) -> int:
        """Frames that one index on axis 0 holds; checks types and shapes of the image datasets."""
        detector = self.detector
        inner = (*detector.planes, *detector.module_shape)
        leading = "trains, frames" if detector.frames_in_train else "frames"
        expected = f"({leading}, {', '.join(map(str, inner))})"
        frames = {}
        for key, dtype in detector.image_keys.items():
            path = f"{self.data_path}/{key}"
            dataset = self.dataset(path)
            if dataset.dtype.newbyteorder("=") != np.dtype(dtype):
                raise self.bad(f"has type {dataset.dtype}, expected {np.dtype(dtype)}", path)
            outer = 2 if detector.frames_in_train else 1
            if dataset.ndim < outer or dataset.shape[outer:] != inner:
                raise self.bad(f"has shape {dataset.shape}, expected {expected}", path)
            frames[key] = dataset.shape[1] if detector.frames_in_train else 1
            if frames[key] == 0 or frames[key] != next(iter(frames.values())):
                raise self.bad(f"frames per train differ or are 0: {frames}", path)
        cells = self.dataset(f"{self.data_path}/{detector.cell_key}")
        if cells.dtype.kind not in "iu":
            raise self.bad(
                f"has type {cells.dtype}, expected integers", f"{self.data_path}/{detector.cell_key}"
            )
        return next(iter(frames.values()))

    def lengths(
        self, frames_per_entry: int, train_ids: np.ndarray, first: np.ndarray, count: np.ndarray
    ) -> None:
        """Every dataset must reach as far as INDEX says; those per frame must have a value for each."""
        detector = self.detector
        one_per_entry = {*detector.train_keys, *(() if detector.frames_in_train else detector.frame_keys)}
        optional = [key for key in (*detector.frame_keys, *detector.train_keys) if self.has(key)]
        for key in (*detector.image_keys, *optional):
            path = f"{self.data_path}/{key}"
            shape = self.dataset(path).shape
            if key in detector.frame_keys and detector.frames_in_train and shape[1:] != (frames_per_entry,):
                raise self.bad(f"has shape {shape}, expected (trains, {frames_per_entry})", path)
            if not shape or (key in one_per_entry and np.prod(shape[1:]) != 1):
                raise self.bad(f"has shape {shape}, expected one value per entry", path)
            beyond = (count > 0) & (first + count > shape[0])
            if beyond.any():
                at = int(np.argmax(beyond))
                raise self.bad(
                    f"INDEX refers to entries up to {first[at] + count[at]}, the dataset has {shape[0]}",
                    path,
                    train_ids[at],
                )

    def has(self, key: str) -> bool:
        """Whether the module has a dataset of that name."""
        return f"{self.data_path}/{key}" in self.h5file


def _described(dataset: h5py.Dataset) -> str:
    return f"{dataset.dtype} {dataset.shape}"
