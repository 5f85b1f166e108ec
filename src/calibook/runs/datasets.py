"""Image datasets of a corrected file: one frame per chunk, written past HDF5's slow paths.

Nothing in this module depends on what a frame is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock

import h5py
import numpy as np

from calibook.errors import CalibookError


def create_in_place(
    group: h5py.Group, name: str, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: str
) -> h5py.Dataset:
    """An uncompressed dataset whose chunks have their places in the file at once.

    They hold nothing until they are written to.
    """
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(chunk)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    file_type = h5py.h5t.py_create(np.dtype(dtype).newbyteorder("="), logical=True)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), file_type, space, properties))


def create_deflated(
    group: h5py.Group, name: str, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: str, level: int
) -> h5py.Dataset:
    """A gzip-compressed dataset, without chunks yet."""
    return group.create_dataset(name, shape, dtype, chunks=chunk, compression="gzip", compression_opts=level)


def frame_offsets(dataset: h5py.Dataset) -> np.ndarray:
    """Where in the file each chunk of one frame begins: i8 (frames,), bytes."""
    per_entry = dataset.shape[:-2]
    offsets = np.full(per_entry, -1, "i8")

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        offsets[chunk.chunk_offset[:-2]] = chunk.byte_offset

    dataset.id.chunk_iter(note)
    if (offsets < 0).any():
        raise CalibookError(f"HDF5 gave {dataset.name} no place in the file")
    return offsets.ravel()


def write_at(descriptor: int, array: np.ndarray, offset: int) -> None:
    """Write an array's bytes at an offset of an open file."""
    rest = memoryview(array.view("u1"))  # type: ignore[arg-type]  # arrays are buffers
    while rest:
        done = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[done:], offset + done


class ChunksInOrder:
    """Compressed frames, which may come in any order, go into the file in frame order.

    A frame that comes early waits in memory, compressed. When blocks come in
    order, not more than one block's frames wait.
    """

    def __init__(self, datasets: Mapping[str, h5py.Dataset]):
        self.keys = tuple(datasets)
        self._datasets = datasets
        self._waiting: dict[int, Mapping[str, bytes]] = {}
        self._next = 0
        self._lock = Lock()

    def put(self, frame: int, chunks: Mapping[str, bytes]) -> None:
        """Take the chunks {dataset: bytes} of a frame; write those whose turn it is."""
        with self._lock:
            self._waiting[frame] = chunks
            while self._next in self._waiting:
                self._write(self._next, self._waiting.pop(self._next))
                self._next += 1

    def _write(self, frame: int, chunks: Mapping[str, bytes]) -> None:
        for key, dataset in self._datasets.items():
            frame_index = (int(i) for i in np.unravel_index(frame, dataset.shape[:-2]))
            dataset.id.write_direct_chunk((*frame_index, 0, 0), chunks[key])

    def verify(self, frames: int) -> None:
        """CalibookError unless exactly that many frames are in every dataset."""
        for key, dataset in self._datasets.items():
            if self._waiting or dataset.id.get_num_chunks() != frames:
                raise CalibookError(f"{dataset.file.filename}: {key} lacks frames")
