"""Raw runs in the European XFEL layout, as the data acquisition leaves them.

One writer for all detectors: what differs between them is in `Detector`.
Image data is not compressed and has one chunk per entry; axis 0 of every
dataset is unlimited. The same arguments give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from calibook.detectors.base import Detector
from calibook.files import whole_file
from calibook.runs.layout import write_index, write_metadata
from calibook.runs.names import RAW, FileName

_SMALL_CHUNK = 512  # entries in a chunk of a dataset that is not an image
_VLEN_BYTES = h5py.special_dtype(vlen=bytes)

TrainGroups = Mapping[str, Mapping[str, np.ndarray]]
"""{group: {dataset: one entry per train of the file}}"""


@dataclass(frozen=True)
class RunPart:
    """The trains that one file (a sequence of a run) holds, and the run's particulars.

    train_ids: u8 (T,), strictly increasing
    timestamps_ns: u8 (T,), ns since 1970 UTC
    sample: text in METADATA
    """

    run: int
    sequence: int
    train_ids: np.ndarray
    timestamps_ns: np.ndarray
    proposal: int = 0
    sample: str = "No Sample"

    def __post_init__(self) -> None:
        ids = np.asarray(self.train_ids)
        if ids.ndim != 1 or not ids.size or np.any(ids[1:] <= ids[:-1]):
            raise ValueError("train IDs have to be at least one and strictly increasing")
        if np.shape(self.timestamps_ns) != ids.shape:
            raise ValueError(f"{ids.size} train IDs but timestamps of shape {np.shape(self.timestamps_ns)}")

    def path(self, folder: Path | str, aggregator: str) -> Path:
        """Where an aggregator's file of this part lies in the run's folder."""
        return Path(folder) / str(FileName(RAW, self.run, aggregator, self.sequence))

    def write_head(self, h5file: h5py.File, counts: Mapping[str, np.ndarray], section: str) -> None:
        """METADATA and INDEX; counts: {index path: entries per train}, section: INSTRUMENT or CONTROL.

        The file's date is that of its first train.
        """
        first = datetime.fromtimestamp(int(self.timestamps_ns[0]) // 10**9, UTC)
        write_metadata(
            h5file,
            [f"{section}/{path}" for path in counts],
            run=self.run,
            sequence=self.sequence,
            proposal=self.proposal,
            created=first.strftime("%Y%m%dT%H%M%SZ"),
            sample=self.sample,
        )
        good = np.ones(len(self.train_ids), "i4")
        write_index(h5file, self.train_ids, self.timestamps_ns, good, counts)


class RawFileWriter:
    """Takes the data of one module and sequence block by block; see `raw_file_writer`."""

    def __init__(self, group: h5py.Group, detector: Detector, entry_shape: tuple[int, ...], entries: int):
        self._group, self._entries, self._written = group, entries, 0
        # XTDF detectors, one frame per entry, keep a last axis of length 1.
        frame_shape = entry_shape if detector.frames_in_train else (1,)
        image_shape = (*entry_shape, *detector.planes, *detector.module_shape)
        self._image_keys = frozenset(detector.image_keys)
        self._frame_keys = frozenset(detector.frame_keys)
        for name, dtype in detector.image_keys.items():
            self._create(name, dtype, image_shape, 1, fill_time="never")
        for name, dtype in detector.frame_keys.items():
            self._create(name, dtype, frame_shape, _SMALL_CHUNK)

    def _create(self, name: str, dtype: str, shape: tuple[int, ...], chunk: int, **options: Any) -> None:
        # All chunks get their places now, so that the file doesn't depend on the sizes of the blocks.
        places = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        places.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        self._group.create_dataset(
            name,
            (self._entries, *shape),
            dtype,
            maxshape=(None, *shape),
            chunks=(chunk, *(max(n, 1) for n in shape)),
            dcpl=places,
            **options,
        )

    def append(self, images: Mapping[str, np.ndarray], frame_values: Mapping[str, np.ndarray]) -> None:
        """Write the next entries.

        With `frames_in_train` an entry is a train and arrays are (n, frames, ...);
        otherwise an entry is a frame: images (n, slow_scan, fast_scan), values (n, 1).
        Planes, if the detector has several, come before slow_scan.

        images: {name of an image dataset: pixel values}, all of `image_keys`
        frame_values: {name of a frame dataset: values}, all of `frame_keys`

        Raises ValueError for a wrong dtype or shape: nothing is converted.
        """
        if frozenset(images) != self._image_keys or frozenset(frame_values) != self._frame_keys:
            expected = sorted(self._image_keys | self._frame_keys)
            raise ValueError(f"expected data for {expected}, got {sorted({*images, *frame_values})}")
        n = len(next(iter(images.values())))
        start, stop = self._written, self._written + n
        for name, values in {**images, **frame_values}.items():
            self._check(name, values, n)
            self._group[name][start:stop] = values
        self._written = stop

    def _check(self, name: str, values: np.ndarray, n: int) -> None:
        dataset = self._group[name]
        if values.dtype != dataset.dtype or values.shape != (n, *dataset.shape[1:]):
            raise ValueError(
                f"{name}: expected {dataset.dtype} of shape ({n}, *{dataset.shape[1:]}),"
                f" got {values.dtype} of shape {values.shape}"
            )
        if self._written + n > self._entries:
            raise ValueError(f"{name}: the index promises {self._entries} entries, more are given")

    def check_complete(self) -> None:
        """ValueError if fewer entries were written than the index promises."""
        if self._written != self._entries:
            raise ValueError(f"{self._written} entries written, the index promises {self._entries}")


@contextmanager
def raw_file_writer(
    folder: Path | str,
    detector: Detector,
    karabo_id: str,
    module: int,
    part: RunPart,
    frames_per_train: int | np.ndarray,
    train_groups: TrainGroups | None = None,
) -> Iterator[RawFileWriter]:
    """Write the raw file of one module; it appears when the block ends well and all entries are there.

    folder: the run's folder, e.g. RAW/r0004
    module: number as in the source name
    frames_per_train: a number, or an array (T,) in which 0 means that the module
        sent nothing for that train. With `frames_in_train` all others are equal.
    train_groups: groups beside the images with one entry per train in which the module
        sent something, see `xtdf`

    >>> with raw_file_writer("RAW/r0004", JUNGFRAU, "FXE_XAD_JF1M", 1, part, 16) as writer:
    ...     for adc, gain, values in trains:
    ...         writer.append({"adc": adc, "gain": gain}, values)
    """
    frames = np.broadcast_to(np.asarray(frames_per_train, "u8"), np.shape(part.train_ids))
    counts = frames
    entry_shape: tuple[int, ...] = ()
    sent = frames > 0
    if detector.frames_in_train:
        sizes = np.unique(frames[frames > 0])
        if sizes.size > 1:
            raise ValueError(f"{detector.title} has the same number of frames in all trains, got {sizes}")
        counts = sent.astype("u8")
        entry_shape = (int(sizes[0]) if sizes.size else 1,)
    source = detector.raw_source.format(karabo_id=karabo_id, module=module)
    target = part.path(folder, detector.aggregator.format(module=module))
    with whole_file(target) as unfinished, h5py.File(unfinished, "w") as h5file:
        index_path = f"{source}/{detector.index_group}"
        others = {f"{source}/{name}": sent.astype("u8") for name in train_groups or {}}
        part.write_head(h5file, {index_path: counts, **others}, "INSTRUMENT")
        for name, datasets in (train_groups or {}).items():
            _write_train_group(h5file.create_group(f"INSTRUMENT/{source}/{name}"), datasets, sent)
        group = h5file.create_group(f"INSTRUMENT/{index_path}")
        writer = RawFileWriter(group, detector, entry_shape, int(counts.sum()))
        for name, dtype in detector.train_keys.items():
            per_entry = np.repeat(np.asarray(part.train_ids, dtype), counts.astype("i8"))
            group.create_dataset(name, data=per_entry, maxshape=(None,), chunks=(_SMALL_CHUNK,))
        yield writer
        writer.check_complete()


def _write_train_group(group: h5py.Group, datasets: Mapping[str, np.ndarray], sent: np.ndarray) -> None:
    for name, values in datasets.items():
        if len(values) != len(sent):
            raise ValueError(f"{group.name}/{name}: {len(values)} entries for {len(sent)} trains")
        shape = values.shape[1:]
        group.create_dataset(name, data=values[sent], maxshape=(None, *shape), chunks=(_SMALL_CHUNK, *shape))


def write_control_file(
    folder: Path | str,
    detector: Detector,
    karabo_id: str,
    part: RunPart,
    values: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write the file of the detector's control device, with values that don't change in the run.

    karabo_id: domain of the control device, whether or not it is that of the detector
    values: {key: value}, a numpy scalar or array (its dtype is stored), text or a bool;
        a dot in a key divides it into groups
    others: {device: values} of more devices in the same file, e.g. a voltage supply

    Returns the file's path.
    """
    device = detector.control_source.format(karabo_id=karabo_id, control=karabo_id)
    devices = {device: values, **(others or {})}
    target = part.path(folder, detector.control_aggregator)
    stamps = np.asarray(part.timestamps_ns, "u8")
    with whole_file(target) as unfinished, h5py.File(unfinished, "w") as h5file:
        part.write_head(h5file, {name: np.ones(len(stamps), "u8") for name in devices}, "CONTROL")
        for section, times in {"CONTROL": stamps, "RUN": stamps[:1]}.items():
            for name, its_values in devices.items():
                group = h5file.create_group(f"{section}/{name}")
                for key, value in its_values.items():
                    _write_control_key(group.create_group(key.replace(".", "/")), value, times)
    return target


def _write_control_key(group: h5py.Group, value: Any, times: np.ndarray) -> None:
    """One value for all times, under `value` and `timestamp`. Text is kept as bytes, a bool as u1."""
    dtype: Any
    if isinstance(value, str):
        array, dtype = np.array(value.encode(), object), _VLEN_BYTES
    else:
        array = np.asarray(value, "u1" if isinstance(value, bool | np.bool_) else None)
        dtype = array.dtype
    repeated = np.broadcast_to(array, (len(times), *array.shape))
    chunks = (_SMALL_CHUNK, *array.shape)
    group.create_dataset("value", data=repeated, dtype=dtype, maxshape=(None, *array.shape), chunks=chunks)
    group.create_dataset("timestamp", data=times, maxshape=(None,), chunks=(_SMALL_CHUNK,))
