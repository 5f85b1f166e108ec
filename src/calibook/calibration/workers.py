"""Threads that correct the frames of a file, each a block at a time from reading to writing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from queue import SimpleQueue

import numpy as np

from calibook.calibration.planning.resources import BUFFERED_BYTES
from calibook.calibration.tally import Tally
from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.direct import aligned_empty
from calibook.runs.raw_file import Block, RawModuleFile

WORKERS_PER_THREAD = 1
"""Reading is from memory, mostly, and writing is done by threads of their own."""
BLOCK_BYTES = 16 << 20
"""Data of a block, at most: larger writes are no faster."""
WRITTEN_PER_WORKER = 3
"""Blocks of data per worker: what is computed, and what waits for the disk."""

Correct = Callable[[Block, np.ndarray, np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
"""Corrects a block's frames into data (f4), gain (u1) and mask (u4), each (frame, pixel), and returns
what the corrected file has per frame, {dataset: (frame,)}. It is called from many threads at once."""


def worker_threads() -> int:
    """Threads of a task: CALIBOOK_THREADS, else the CPUs that this process may use."""
    return int(os.environ.get("CALIBOOK_THREADS") or len(os.sched_getaffinity(0)))


def correct_all(
    raw: RawModuleFile,
    writer: CorrectedWriter,
    correct: Correct,
    ranges: tuple[tuple[float, float], ...],
    *,
    threads: int | None = None,
    groups: Iterable[np.ndarray] | None = None,
) -> Tally:
    """Correct all entries of a file and write them; returns what they are like.

    ranges: of the tally's histograms
    threads: that compute; None for `worker_threads()`
    groups: entries that are best worked on together, in that order; None for
        those that follow each other. Neither changes a byte of the results.
    """
    workers = WORKERS_PER_THREAD * (threads or worker_threads())
    images, data = _frame_bytes(raw)
    fit = BUFFERED_BYTES // (workers * (images + WRITTEN_PER_WORKER * data))
    frames = max(1, min(fit, BLOCK_BYTES // data))
    together = [np.arange(raw.n_entries)] if groups is None else groups
    # In the file's order, so that frames which follow each other are moved in one piece.
    parts = deque(np.sort(part) for group in together for part in raw.parts(frames, group))
    largest = max(map(len, parts))
    workers = min(workers, len(parts))
    spare = SpareArrays(WRITTEN_PER_WORKER * workers, (largest * raw.frames_per_entry, prod(raw.image_shape)))
    each = [_Worker(raw, writer, correct, ranges, largest, spare) for _ in range(workers)]
    with ThreadPoolExecutor(len(each), "correct") as pool:
        list(pool.map(lambda worker: worker.work(parts), each))
    for worker in each[1:]:
        each[0].tally.merge(worker.tally)
    return each[0].tally


def _frame_bytes(raw: RawModuleFile) -> tuple[int, int]:
    """Memory that a frame takes: raw, with gain stages and mask; and its data."""
    pixels = prod(raw.image_shape)
    data, *other = (np.dtype(dtype).itemsize for dtype in raw.detector.corrected_keys.values())
    raw_bytes = sum(np.dtype(dtype).itemsize for dtype in raw.detector.image_keys.values())
    return pixels * (prod(raw.detector.planes) * raw_bytes + sum(other)), pixels * data


class SpareArrays:
    """Arrays for data, each in use again when what it held is written."""

    def __init__(self, number: int, shape: tuple[int, int]):
        self._arrays: SimpleQueue[tuple[np.ndarray, Future[None] | None]] = SimpleQueue()
        for _ in range(number):
            self.put(aligned_empty(shape, "f4"), None)

    def put(self, array: np.ndarray, written: Future[None] | None) -> None:
        """Give back an array; it is kept until it is written."""
        self._arrays.put((array, written))

    def get(self) -> np.ndarray:
        """The array that was given back first. Raises OSError if it could not be written."""
        array, written = self._arrays.get()
        if written is not None:
            written.result()
        return array


class _Worker:
    """What one thread needs; all of it is used again for the next block."""

    def __init__(
        self,
        raw: RawModuleFile,
        writer: CorrectedWriter,
        correct: Correct,
        ranges: tuple[tuple[float, float], ...],
        entries: int,
        spare: SpareArrays,
    ):
        self.raw, self.writer, self.correct, self.spare = raw, writer, correct, spare
        self.tally = Tally(raw.image_shape, ranges, raw.n_frames)
        shape = (entries * raw.frames_per_entry, prod(raw.image_shape))
        self._images = raw.new_buffers(entries)
        self._gain, self._mask = (aligned_empty(shape, dtype) for dtype in ("u1", "u4"))

    def work(self, parts: deque[np.ndarray]) -> None:
        """Take parts of the file, until there are no more or something fails."""
        while True:
            try:
                entries = parts.popleft()
            except IndexError:
                return
            try:
                self._work(entries)
            except BaseException:
                parts.clear()  # the other threads can stop, too
                raise

    def _work(self, entries: np.ndarray) -> None:
        block = self.raw.read(entries, self._images)
        whole = self.spare.get()
        data, gain, mask = (array[: block.frames] for array in (whole, self._gain, self._mask))
        per_frame = self.correct(block, data, gain, mask)
        written = self.writer.write(block, data, gain, mask, **per_frame)
        self.tally.add(self.raw.places_of(entries), data, gain, mask)
        self.spare.put(whole, written)
