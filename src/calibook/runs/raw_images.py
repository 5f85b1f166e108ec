"""One image dataset of a raw file, read by any number of threads at once."""

from __future__ import annotations

import tempfile
from itertools import product
from math import prod
from threading import Lock
from typing import BinaryIO

import h5py
import numpy as np

from calibook.runs.places import frame_places, read_at, runs, write_at

_UNPACK_BYTES = 64 << 20


class UnreadableEntry(Exception):
    """number: which of the entries that were asked for can't be read, from 0"""

    def __init__(self, number: int, why: str):
        super().__init__(why)
        self.number = number


class RawImages:
    """Images of a dataset, past HDF5 where it stores them as they are, else through it.

    dataset: of an open file; its first `frame_axes` axes count frames
    descriptor: of the same file
    module_axes: how many of its last axes are a frame's pixels; what is between are planes
    """

    def __init__(self, dataset: h5py.Dataset, descriptor: int, frame_axes: int, module_axes: int = 2):
        self.dataset, self._descriptor = dataset, descriptor
        self._frame_axes = frame_axes
        self._frames_per_entry = prod(dataset.shape[1:frame_axes])
        self._planes = prod(dataset.shape[frame_axes:-module_axes])
        self._pixels = prod(dataset.shape[-module_axes:])
        self._places = frame_places(dataset, frame_axes)
        self._unpacked: BinaryIO | None = None
        self._is_unpacked = np.zeros(len(dataset), bool)
        self._lock = Lock()
        self.dtype = dataset.dtype.newbyteorder("=")

    def close(self) -> None:
        """Forget what was unpacked."""
        if self._unpacked:
            self._unpacked.close()

    def new_buffer(self, entries: int) -> np.ndarray:
        """For `read`: (entries, ...) as in the dataset."""
        return np.empty((entries, *self.dataset.shape[1:]), self.dtype)

    def read(self, positions: np.ndarray, buffer: np.ndarray) -> None:
        """Read entries at these positions of axis 0 into the first rows of a buffer.

        Raises UnreadableEntry.
        """
        try:
            self._read(positions, buffer)
        except (OSError, EOFError, RuntimeError) as error:
            raise UnreadableEntry(self._first_unreadable(positions, buffer[:1]), str(error)) from None

    def _first_unreadable(self, positions: np.ndarray, buffer: np.ndarray) -> int:
        for number in range(len(positions)):
            try:
                self._read(positions[number : number + 1], buffer)
            except (OSError, EOFError, RuntimeError):
                return number
        return 0

    def _read(self, positions: np.ndarray, buffer: np.ndarray) -> None:
        if self._places is None:
            for low, high in runs(positions):
                rows = np.s_[int(positions[low]) : int(positions[low]) + high - low]
                self.dataset.read_direct(buffer, rows, np.s_[low:high])
            return
        places = self._places.reshape(-1, self._frames_per_entry)[positions].ravel()
        frames = buffer[: len(positions)].reshape(len(places), -1)
        for low, high in runs(places, frames[0].nbytes):
            read_at(self._descriptor, frames[low:high], int(places[low]))

    def read_pixels(self, positions: np.ndarray, first: int, last: int) -> np.ndarray:
        """Pixels first to last, excluded, of each plane and frame: (frames, planes * (last - first)).

        What HDF5 must unpack is unpacked once, into a nameless temporary file.
        Raises UnreadableEntry.
        """
        descriptor, places = self._descriptor, self._places
        if places is None:
            descriptor, places = self._unpack(positions)
        places = places.reshape(-1, self._frames_per_entry)[positions].ravel()
        found = np.empty((len(places), self._planes, last - first), self.dtype)
        for number, plane in product(range(len(places)), range(self._planes)):
            inside = (plane * self._pixels + first) * self.dtype.itemsize
            try:
                read_at(descriptor, found[number, plane], int(places[number]) + inside)
            except (OSError, EOFError) as error:
                raise UnreadableEntry(number // self._frames_per_entry, str(error)) from None
        return found.reshape(len(places), self._planes * (last - first))

    def _unpack(self, positions: np.ndarray) -> tuple[int, np.ndarray]:
        """Descriptor of a file in which these entries lie as NumPy has them, and the places of all frames."""
        entry = self.new_buffer(1)
        with self._lock:
            if self._unpacked is None:
                self._unpacked = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the file it is of
            packed = np.flatnonzero(~self._is_unpacked[positions])
            step = max(1, _UNPACK_BYTES // entry.nbytes)
            buffer = self.new_buffer(min(step, len(packed)))
            for some in (packed[start : start + step] for start in range(0, len(packed), step)):
                try:
                    self.read(positions[some], buffer)
                except UnreadableEntry as error:
                    raise UnreadableEntry(int(some[error.number]), str(error)) from None
                for row, position in enumerate(positions[some]):
                    write_at(self._unpacked.fileno(), buffer[row], int(position) * entry.nbytes)
                self._is_unpacked[positions[some]] = True
            frames = np.arange(len(self.dataset) * self._frames_per_entry)
            return self._unpacked.fileno(), frames * (entry.nbytes // self._frames_per_entry)
