"""A raw file of one detector module: checked when opened, read in blocks of frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from calibook.detectors.base import Detector
from calibook.errors import BadInput
from calibook.runs.checks import RawChecks, open_h5
from calibook.runs.discover import module_of
from calibook.runs.names import parse_file_name
from calibook.runs.raw_images import RawImages, UnreadableEntry


@dataclass(frozen=True)
class Block:
    """Some entries of a file; an entry is what one index on axis 0 holds.

    Entries are counted over those that belong to trains: padding and gaps of
    the raw file don't count, so that they are the entries of the corrected file.

    entries: i8 (E,)
    frames: number N of frames, E times the frames per entry
    images: {dataset: (N, P)}, C-contiguous, one row per frame; its planes, if it
        has several, follow each other in the row
    cells: i8 (N,), memory cell of each frame
    """

    entries: np.ndarray
    frames: int
    images: dict[str, np.ndarray]
    cells: np.ndarray


class RawModuleFile:
    """An open raw file; made by `open_raw`, closed as a context manager.

    karabo_id: of the detector, e.g. "FXE_XAD_JF1M"
    source: of the module, e.g. "FXE_XAD_JF1M/DET/JNGFR01:daqOutput"
    module: its number
    train_ids: u8 (T,)
    timestamps: u8 (T,), ns since 1970 UTC; 0 where the file has none
    count: i8 (T,), entries of each train
    n_trains, n_entries, n_frames: what belongs to trains, without padding
    frames_per_entry: 1, or the length of axis 1 if an entry is a train
    frames_per_train: the most frames that a train has
    image_shape: of a frame, (slow_scan, fast_scan)
    """

    def __init__(self, path: Path, detector: Detector, h5file: h5py.File, karabo_id: str, module: int):
        self.path, self.detector, self.h5file = path, detector, h5file
        self.karabo_id, self.module = karabo_id, module
        self.source = source = detector.raw_source.format(karabo_id=karabo_id, module=module)
        checks = RawChecks(path, h5file, detector, source)
        checks.metadata()
        self.train_ids, self.timestamps = checks.trains()
        first, self.count = checks.index(self.train_ids)
        self.image_shape = detector.module_shape
        self.frames_per_entry = checks.frames_per_entry()
        checks.lengths(self.frames_per_entry, self.train_ids, first, self.count)
        self.n_trains = len(self.train_ids)
        self.data_path = checks.data_path
        self._entries = _entries(first, self.count)
        self._count_frames()
        self._cells = self.ids(detector.cell_key).astype("i8").reshape(self.n_frames)
        self._descriptor = os.open(path, os.O_RDONLY)
        frame_axes = 2 if detector.frames_in_train else 1
        self._images = {
            key: RawImages(h5file[f"{self.data_path}/{key}"], self._descriptor, frame_axes)
            for key in detector.image_keys
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        for images in self._images.values():
            images.close()
        os.close(self._descriptor)
        self.h5file.close()

    @property
    def index_path(self) -> str:
        """Source and index group, as in the groups INDEX and INSTRUMENT."""
        return f"{self.source}/{self.detector.index_group}"

    def has(self, key: str) -> bool:
        """Whether the file has a dataset of that name for the module."""
        return f"{self.data_path}/{key}" in self.h5file

    def ids(self, key: str) -> np.ndarray:
        """A small dataset (one value per frame or train) without padding.

        Shape (n_entries, frames_per_entry) for frame keys of detectors whose
        entries are trains, else (n_entries,).
        """
        dataset = f"{self.data_path}/{key}"
        try:
            values = self.h5file[dataset][()]
        except (OSError, RuntimeError) as error:
            raise BadInput(self.path, f"can't be read: {error}", dataset) from None
        if not self.detector.frames_in_train:
            values = values.reshape(len(values))  # raw (N, 1) of detectors with one entry per frame
        return values[self._entries]

    def trains_of(self, start: int, stop: int) -> np.ndarray:
        """Train ID of each entry: u8 (stop - start,)."""
        return np.repeat(self.train_ids, self.count)[start:stop]

    def select(self, keep: np.ndarray) -> None:
        """Forget all other entries, as if the file did not have them.

        keep: bool (n_entries,)
        Raises BadInput if none is left.
        """
        keep = np.asarray(keep, bool)
        if keep.shape != (self.n_entries,):
            raise ValueError(f"keep has shape {keep.shape}, needs ({self.n_entries},)")
        if not keep.any():
            raise BadInput(self.path, "none of its frames is selected")
        train = np.repeat(np.arange(self.n_trains), self.count)
        self._cells = self._cells.reshape(self.n_entries, -1)[keep].ravel()
        self._entries = self._entries[keep]
        self.count = np.bincount(train[keep], minlength=self.n_trains)
        self._count_frames()

    def _count_frames(self) -> None:
        self.n_entries = len(self._entries)
        self.n_frames = self.n_entries * self.frames_per_entry
        self.frames_per_train = int(self.count.max()) * self.frames_per_entry

    def blocks(self, frames: int, entries: np.ndarray | None = None) -> Iterator[Block]:
        """Entries in blocks of at most `frames` frames (but at least one entry).

        entries: i8, which ones, in this order; None for all

        The next block is read in the background while one is worked on. There
        are two sets of buffers: a block's images are valid until the next
        block is asked for. Memory in use doesn't depend on the file's length.

        Raises BadInput with dataset and train where the file can't be read.
        """
        parts = self.parts(frames, entries)
        buffers = [self.new_buffers(len(parts[0])) for _ in parts[:2]]
        with ThreadPoolExecutor(1, "reader") as reader:
            ahead = reader.submit(self.read, parts[0], buffers[0]) if parts else None
            for number in range(1, len(parts) + 1):
                assert ahead is not None
                block = ahead.result()
                if number < len(parts):
                    ahead = reader.submit(self.read, parts[number], buffers[number % 2])
                yield block

    def parts(self, frames: int, entries: np.ndarray | None = None) -> list[np.ndarray]:
        """Entries in parts of at most `frames` frames (but at least one entry): i8 arrays, for `read`."""
        if frames < 1:
            raise ValueError(f"a block of {frames} frames")
        chosen = np.arange(self.n_entries) if entries is None else np.asarray(entries)
        step = max(1, frames // self.frames_per_entry)
        return [chosen[start : start + step] for start in range(0, len(chosen), step)]

    def places_of(self, entries: np.ndarray) -> np.ndarray:
        """Numbers of the entries' frames, counted over all frames that belong to trains: i8."""
        return (entries[:, None] * self.frames_per_entry + np.arange(self.frames_per_entry)).ravel()

    def new_buffers(self, entries: int) -> dict[str, np.ndarray]:
        """Buffers that `read` fills."""
        return {key: images.new_buffer(entries) for key, images in self._images.items()}

    def read(self, entries: np.ndarray, buffers: dict[str, np.ndarray]) -> Block:
        """A block of these entries, its images in the buffers. Any number of threads may read at once.

        Raises BadInput with dataset and train where the file can't be read.
        """
        frames = len(entries) * self.frames_per_entry
        found = {}
        for key, buffer in buffers.items():
            try:
                self._images[key].read(self._entries[entries], buffer)
            except UnreadableEntry as error:
                raise self._bad(key, int(entries[error.number]), error) from None
            found[key] = buffer[: len(entries)].reshape(frames, -1)
        return Block(entries, frames, found, self._cells[self.places_of(entries)])

    def read_pixels(self, first: int, last: int, entries: np.ndarray | None = None) -> Block:
        """Entries (None for all), but of their images only the pixels first to last, excluded.

        For what needs all frames of a pixel at once; memory is for the caller
        to mind. Otherwise as `read`.
        """
        entries = np.arange(self.n_entries) if entries is None else entries
        found = {}
        for key, images in self._images.items():
            try:
                found[key] = images.read_pixels(self._entries[entries], first, last)
            except UnreadableEntry as error:
                raise self._bad(key, int(entries[error.number]), error) from None
        places = self.places_of(entries)
        return Block(entries, len(places), found, self._cells[places])

    def _bad(self, key: str, entry: int, error: Exception) -> BadInput:
        train = int(self.trains_of(entry, entry + 1)[0])
        return BadInput(self.path, f"can't be read: {error}", f"{self.data_path}/{key}", train)


def open_raw(path: Path | str, detector: Detector, karabo_id: str) -> RawModuleFile:
    """Open a raw file and check all that can be checked without reading its images.

    Raises BadInput, naming file, dataset and cause, if the file is missing,
    unreadable, empty, truncated, not HDF5 or not this detector's; if a dataset
    is missing or has the wrong type or shape; if there are no trains or no
    frames; if INDEX and the lengths of the datasets disagree.
    """
    path = Path(path)
    name = parse_file_name(path)
    module = module_of(name.aggregator, detector) if name else None
    if module is None:
        expected = f"RAW-R0000-{detector.aggregator.format(module=detector.first_module)}-S00000.h5"
        raise BadInput(path, f"not named like a raw file of {detector.title}, e.g. {expected}")
    h5file = open_h5(path)
    try:
        return RawModuleFile(path, detector, h5file, karabo_id, module)
    except BaseException:
        h5file.close()
        raise


def _entries(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Positions on axis 0 of the raw datasets that belong to trains: i8 (n_entries,)."""
    return np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
