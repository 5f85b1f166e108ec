"""Image datasets of a corrected file: one frame per chunk, written past HDF5's slow paths.

Nothing in this module depends on what a frame is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import h5py
import numpy as np
from isal import isal_zlib

from calibook.errors import CalibookError
from calibook.kernels.deflate import deflate_images

# The level of the facility's files; its stream is the same on all x86-64 CPUs since SSE4.2.
DEFLATE_LEVEL = 1


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
    group: h5py.Group, name: str, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: str
) -> h5py.Dataset:
    """A gzip-compressed dataset, without chunks yet; see `deflated` for these."""
    compression = {"compression": "gzip", "compression_opts": DEFLATE_LEVEL}
    return group.create_dataset(name, shape, dtype, chunks=chunk, **compression)


def deflated(images: np.ndarray) -> list[bytes]:
    """The chunks of frames, u1 or u4 (frame, pixel), for a dataset of `create_deflated`."""
    return [
        isal_zlib.compress(image, DEFLATE_LEVEL) if stream is None else stream
        for image, stream in zip(images, deflate_images(images), strict=True)
    ]


class ChunksInOrder:
    """Compressed frames, which may come in any order, go into the file in frame order.

    A frame waits in memory, compressed, for those before it, and for a good
    moment: small writes between direct ones to the same file hold all of them up.
    """

    def __init__(self, datasets: Mapping[str, h5py.Dataset]):
        self.keys = tuple(datasets)
        self._datasets = datasets
        # Asked once: a file has thousands of frames, and HDF5's answers take as long as its writes.
        self._shapes = [dataset.shape for dataset in datasets.values()]
        self._ids = [dataset.id for dataset in datasets.values()]
        self._waiting: dict[int, Sequence[bytes]] = {}
        self._next = 0

    def put(self, frame: int, chunks: Sequence[bytes]) -> None:
        """Take the chunks of a frame, one of each dataset."""
        self._waiting[frame] = chunks

    def write_next(self) -> bool:
        """Write the frame whose turn it is; False if it has not come yet. One thread at a time."""
        chunks = self._waiting.pop(self._next, None)
        if chunks is None:
            return False
        for dataset, shape, chunk in zip(self._ids, self._shapes, chunks, strict=True):
            dataset.write_direct_chunk(_place(self._next, shape), chunk)
        self._next += 1
        return True

    def finish(self, frames: int) -> None:
        """Write what is left. CalibookError unless exactly that many frames are then in every dataset."""
        while self.write_next():
            pass
        for key, dataset in self._datasets.items():
            if self._waiting or dataset.id.get_num_chunks() != frames:
                raise CalibookError(f"{dataset.file.filename}: {key} lacks frames")


def _place(frame: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Where a frame begins in a dataset (train, frame of the train, ...) or (frame, ...)."""
    outer = (frame,) if len(shape) == 3 else divmod(frame, shape[1])
    return (*outer, 0, 0)
