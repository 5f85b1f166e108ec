"""The corrected file of one detector module, in the layout that EXtra-data reads.

Floating-point images are not compressed and have their places in the file
before the first frame comes, so they are written directly to these places, by
threads that do nothing else. Integer images (gain stage, mask) compress well:
the threads that call `write` deflate them outside HDF5's lock, and the chunks go
into the file in the order of frames. Hence the file's bytes depend on its
content alone, not on threads, blocks or time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from math import prod
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from calibook.detectors.base import Detector
from calibook.errors import CalibookError
from calibook.files import whole_file
from calibook.runs.datasets import ChunksInOrder, create_deflated, create_in_place, deflated
from calibook.runs.direct import ALIGNMENT, DirectFile
from calibook.runs.layout import copy_index, copy_metadata
from calibook.runs.places import frame_places, runs
from calibook.runs.raw_file import Block, RawModuleFile
from calibook.runs.write_behind import WriteBehind


class CorrectedWriter:
    """Writes a corrected file; the file takes its name when the `with` block ends well.

    >>> with CorrectedWriter(target, raw, detector) as writer:
    ...     for block in raw.blocks(64):
    ...         writer.write(block, data, gain, mask)

    Parameters
    ----------
    raw: open raw file, from which METADATA, INDEX and IDs are carried over
    detector: its `corrected_keys` name the image datasets, in the order in
        which `write` takes them
    legacy_name: the data can be read by the raw source's name, too, as that of
        old corrected files is
    """

    def __init__(self, target: Path | str, raw: RawModuleFile, detector: Detector, legacy_name: bool = False):
        self.target, self.raw, self.detector = Path(target), raw, detector
        self._source = detector.corrected_source.format(karabo_id=raw.karabo_id, module=raw.module)
        self._index_path = f"{self._source}/{detector.index_group}"
        self._legacy_name = legacy_name
        self._frame_values = {k: np.zeros(raw.n_frames, t) for k, t in detector.corrected_frame_keys.items()}
        self._written = np.zeros(raw.n_entries, bool)
        self._lock = Lock()
        self._on_exit = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            part = stack.enter_context(whole_file(self.target))
            align = {"alignment_threshold": self._frame_bytes(), "alignment_interval": ALIGNMENT}
            self._file = stack.enter_context(h5py.File(part, "w", **align))
            self._create()
            direct = stack.enter_context(DirectFile(part))
            self._behind = stack.enter_context(WriteBehind(direct, self._chunks.write_next))
            for key, places in self._places.items():
                nbytes = np.dtype(self.detector.corrected_keys[key]).itemsize * prod(self.raw.image_shape)
                direct.reserve(int(places.min()), int(places.max() - places.min()) + nbytes)
            self._on_exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with self._on_exit:
                self._behind.finish()
                self._finish()
                self._write_frame_values()  # always last: HDF5 gives them their place when they come
        else:
            self._on_exit.__exit__(kind, error, trace)

    def _create(self) -> None:
        """Everything but the images, and the places of the images."""
        raw, group_path = self.raw, f"INSTRUMENT/{self._index_path}"
        aliases = [raw.index_path] if self._legacy_name else []
        copy_metadata(raw.h5file, self._file, {raw.index_path: self._index_path}, aliases)
        copy_index(raw.h5file, self._file, {raw.index_path: self._index_path}, {raw.index_path: raw.count})
        group = self._file.create_group(group_path)
        for kind in ("INDEX", "INSTRUMENT") if self._legacy_name else ():
            self._file[f"{kind}/{raw.source}"] = h5py.SoftLink(f"/{kind}/{self._source}")
        for key in (*self.detector.frame_keys, *self.detector.train_keys):
            if raw.has(key):
                group.create_dataset(key, data=raw.ids(key))
        for key, values in self._frame_values.items():
            group.create_dataset(key, values.shape, values.dtype)
        per_entry = (raw.frames_per_entry,) if self.detector.frames_in_train else ()
        shape = (raw.n_entries, *per_entry, *raw.image_shape)
        chunk = (*(1 for _ in shape[:-2]), *raw.image_shape)
        self._places: dict[str, np.ndarray] = {}
        compressed = {}
        for key, dtype in self.detector.corrected_keys.items():
            if np.dtype(dtype).kind == "f":
                self._places[key] = self._reserve(create_in_place(group, key, shape, chunk, dtype))
            else:
                compressed[key] = create_deflated(group, key, shape, chunk, dtype)
        self._chunks = ChunksInOrder(compressed)
        self._file.flush()

    def _frame_bytes(self) -> int:
        """Of the smallest image that is written in place."""
        pixels = self.raw.image_shape[0] * self.raw.image_shape[1]
        sizes = [
            np.dtype(t).itemsize for t in self.detector.corrected_keys.values() if np.dtype(t).kind == "f"
        ]
        return max(ALIGNMENT, min(sizes) * pixels)

    @staticmethod
    def _reserve(dataset: h5py.Dataset) -> np.ndarray:
        places = frame_places(dataset, dataset.ndim - 2)
        if places is None:
            raise CalibookError(f"HDF5 gave {dataset.name} no place in the file")
        return places

    def write(
        self, block: Block, data: np.ndarray, gain: np.ndarray, mask: np.ndarray, **frame_values: np.ndarray
    ) -> Future[None]:
        """Write the corrected images of a block; blocks may come in any order, from any thread.

        data: f4 (N, P); gain: u1 (N, P), gain stage; mask: u4 (N, P), bad-pixel
        bits; frame_values: each of the detector's `corrected_frame_keys`, (N,).
        data must stay as it is until the result is there, all else is copied. Who waits
        for it gets the OSError of a failed write. ValueError for another type or shape,
        or when an entry comes twice.
        """
        if frame_values.keys() != self._frame_values.keys():
            raise ValueError(f"values per frame: needs {list(self._frame_values)}, got {list(frame_values)}")
        arrays = dict(zip(self.detector.corrected_keys, (data, gain, mask), strict=True))
        for key, array in arrays.items():
            self._check(key, array, block)
        entries = block.entries
        with self._lock:
            inside = (entries >= 0) & (entries < len(self._written))
            if not inside.all() or self._written[entries].any():
                raise ValueError(f"entries among {entries} were written before or don't exist")
            self._written[entries] = True
        places = self.raw.places_of(entries)
        for key, values in frame_values.items():
            self._frame_values[key][places] = values
        streams = [deflated(arrays[key]) for key in self._chunks.keys]
        for place, chunks in zip(places.tolist(), zip(*streams, strict=True), strict=True):
            self._chunks.put(place, chunks)
        return self._behind.put(
            [piece for key in self._places for piece in self._pieces(key, arrays[key], places)]
        )

    def _pieces(self, key: str, array: np.ndarray, places: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Parts of an array that lie in one piece in the file, and where."""
        offsets = self._places[key][places]
        for low, high in runs(offsets, array[0].nbytes):
            yield array[low:high], int(offsets[low])

    def _check(self, key: str, array: np.ndarray, block: Block) -> None:
        dtype = np.dtype(self.detector.corrected_keys[key])
        shape = (block.frames, self.raw.image_shape[0] * self.raw.image_shape[1])
        if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
            raise ValueError(f"{key}: expected C-contiguous {dtype} {shape}, got {array.dtype} {array.shape}")

    def _write_frame_values(self) -> None:
        for key, values in self._frame_values.items():
            self._file[f"INSTRUMENT/{self._index_path}/{key}"][...] = values

    def _finish(self) -> None:
        missing = np.flatnonzero(~self._written)
        if len(missing):
            raise CalibookError(
                f"{self.target}: {len(missing)} of {len(self._written)} entries were not written, "
                f"the first is {missing[0]}"
            )
        self._chunks.finish(self.raw.n_frames)
