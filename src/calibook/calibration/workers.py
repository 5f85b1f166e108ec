"""Threads that correct the frames of a file, each a block at a time from reading to writing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np

from calibook.calibration.planning.resources import BUFFERED_BYTES
from calibook.calibration.tally import Tally
from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.direct import aligned_empty
from calibook.runs.raw_file import Block, RawModuleFile

WORKERS_PER_THREAD = 2
"""While one waits for the disk, the other computes."""

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
    frames = max(1, BUFFERED_BYTES // (workers * _frame_bytes(raw)))
    together = [np.arange(raw.n_entries)] if groups is None else groups
    parts = deque(part for group in together for part in raw.parts(frames, group))
    largest = max(map(len, parts))
    each = [_Worker(raw, writer, correct, ranges, largest) for _ in range(min(workers, len(parts)))]
    with ThreadPoolExecutor(len(each), "correct") as pool:
        list(pool.map(lambda worker: worker.work(parts), each))
    for worker in each[1:]:
        each[0].tally.merge(worker.tally)
    return each[0].tally


def _frame_bytes(raw: RawModuleFile) -> int:
    """Memory that a frame takes, raw and corrected."""
    pixels = prod(raw.image_shape)
    kept = raw.detector.corrected_keys.values()
    raw_bytes = sum(buffer.nbytes for buffer in raw.new_buffers(1).values()) // raw.frames_per_entry
    return raw_bytes + pixels * sum(np.dtype(dtype).itemsize for dtype in kept)


class _Worker:
    """What one thread needs; all of it is used again for the next block."""

    def __init__(
        self,
        raw: RawModuleFile,
        writer: CorrectedWriter,
        correct: Correct,
        ranges: tuple[tuple[float, float], ...],
        entries: int,
    ):
        self.raw, self.writer, self.correct = raw, writer, correct
        self.tally = Tally(raw.image_shape, ranges, raw.n_frames)
        shape = (entries * raw.frames_per_entry, prod(raw.image_shape))
        self._images = raw.new_buffers(entries)
        self._data, self._gain, self._mask = (aligned_empty(shape, dtype) for dtype in ("f4", "u1", "u4"))

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
        data, gain, mask = (array[: block.frames] for array in (self._data, self._gain, self._mask))
        per_frame = self.correct(block, data, gain, mask)
        self.writer.write(block, data, gain, mask, **per_frame)
        self.tally.add(self.raw.places_of(entries), data, gain, mask)
