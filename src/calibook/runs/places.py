"""Where frames lie in a file, for threads that read or write them side by side.

HDF5 lets one thread in at a time. Images that it stores as they are can be
moved past it, from and to their places in the file; what these are is asked of
HDF5, never assumed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from math import prod

import h5py
import numpy as np


def frame_places(dataset: h5py.Dataset, frame_axes: int) -> np.ndarray | None:
    """First byte of each frame in the dataset's file: i8 (frames,).

    frame_axes: how many of the dataset's first axes count frames

    None where the bytes in the file are not the frames as NumPy has them, so
    that HDF5 must read: filters, a virtual or external dataset, another byte
    order, frames cut into several chunks, chunks that were never written.
    """
    made = dataset.id.get_create_plist()
    if not dataset.dtype.isnative or made.get_nfilters() or dataset.file.userblock_size:
        return None
    outer, inner = dataset.shape[:frame_axes], dataset.shape[frame_axes:]
    frame_bytes = dataset.dtype.itemsize * prod(inner)
    layout = made.get_layout()
    if layout == h5py.h5d.CONTIGUOUS and not made.get_external_count():
        start = dataset.id.get_offset()
        return None if start is None else start + np.arange(prod(outer)) * frame_bytes
    if layout == h5py.h5d.CHUNKED and dataset.chunks[frame_axes:] == inner:
        return _chunked_places(dataset, outer, frame_bytes)
    return None


def _chunked_places(dataset: h5py.Dataset, outer: tuple[int, ...], frame_bytes: int) -> np.ndarray | None:
    found: list[h5py.h5d.StoreInfo] = []
    try:
        dataset.id.chunk_iter(found.append)
    except (OSError, RuntimeError):
        return None  # damaged: reading through HDF5 says how
    # Chunks at the end may reach beyond the dataset.
    chunk = dataset.chunks[: len(outer)]
    whole = tuple(-(-n // size) * size for n, size in zip(outer, chunk, strict=True))
    places = np.full(whole, -1, "i8")
    if found:
        corners = np.array([info.chunk_offset[: len(outer)] for info in found]).T
        starts = np.array([info.byte_offset for info in found])
        for number, inside in enumerate(np.ndindex(*chunk)):
            places[tuple(axis + step for axis, step in zip(corners, inside, strict=True))] = (
                starts + number * frame_bytes
            )
    places = places[tuple(slice(n) for n in outer)]
    return None if (places < 0).any() else places.ravel()


def runs(positions: np.ndarray, step: int = 1) -> Iterator[tuple[int, int]]:
    """Ranges of indices whose positions follow each other: [5, 6, 7, 9] is (0, 3), (3, 4)."""
    breaks = np.flatnonzero(np.diff(positions) != step) + 1
    yield from pairwise([0, *breaks.tolist(), len(positions)])


def read_at(descriptor: int, array: np.ndarray, offset: int) -> None:
    """Fill a C-contiguous array with the bytes at an offset of an open file.

    Raises OSError; EOFError if the file ends before.
    """
    rest = memoryview(array.reshape(-1).view("u1"))  # type: ignore[arg-type]  # arrays are buffers
    while rest:
        done = os.preadv(descriptor, [rest], offset)
        if done == 0:
            raise EOFError("the file ends before its data")
        rest, offset = rest[done:], offset + done


def write_at(descriptor: int, array: np.ndarray, offset: int) -> None:
    """Write an array's bytes at an offset of an open file."""
    rest = memoryview(array.reshape(-1).view("u1"))  # type: ignore[arg-type]  # arrays are buffers
    while rest:
        done = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[done:], offset + done
