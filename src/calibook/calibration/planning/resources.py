"""What a task will need: memory and disk space, from the detector's facts alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import prod

from calibook.detectors.base import ConditionValue, Detector
from calibook.runs.discover import RawFile

BUFFERED_BYTES = 256 << 20
"""Raw and corrected images that all threads of a task together hold: enough to keep them busy, and
nothing that grows with the file."""
_MB = 1 << 20
# Of a correction's thread: while one block waits for the disk, another is computed.
_WORKERS_PER_THREAD = 1
# Interpreter, libraries and compiled kernels of a notebook's kernel, measured.
_BASE_MEMORY_MB = 400
# Of a pixel and memory cell: five thresholds in double precision, twice, and what is packed already.
_LARGEST_CONSTANT_BYTES = 5 * 8 * 2 + 32


def threads_within(threads: int, bytes_each: int, together: int = 2 * BUFFERED_BYTES) -> int:
    """As many threads, at most, as together need no more than so many bytes; one at least."""
    return max(1, min(threads, together // bytes_each))


def task_threads() -> int:
    """Threads that a task will have as far as its plan can know: CALIBOOK_THREADS, else the CPUs here."""
    return int(os.environ.get("CALIBOOK_THREADS") or len(os.sched_getaffinity(0)))


def correction_memory_mb(detector: Detector, conditions: Mapping[str, ConditionValue]) -> int:
    """Constants (packed, and one kind as stored), frames in work, and statistics of each thread.

    Of detectors with a gain plane also thresholds, and the slopes of all stages while they are packed.
    """
    of_pixel = len(detector.gain_stages) * (12 + 16) + (36 if detector.planes else 0)
    constants = _samples(detector, conditions) * of_pixel
    statistics = _WORKERS_PER_THREAD * task_threads() * _pixels(detector) * 20
    return _BASE_MEMORY_MB + (constants + BUFFERED_BYTES + statistics) // _MB


def dark_memory_mb(detector: Detector, conditions: Mapping[str, ConditionValue]) -> int:
    """What darks are held in until their constants are put, and frames in work: as read, and put together.

    Sums of one gain stage and maps of all in double precision; of detectors with a gain plane
    five maps of each stage in single precision, and the thresholds twice while they are put.
    """
    stages = len(detector.gain_stages)
    of_pixel = stages * 20 + _levels(detector) * 12 if detector.planes else stages * 48 + 28
    maps = _samples(detector, conditions) * of_pixel
    return _BASE_MEMORY_MB + (maps + 2 * BUFFERED_BYTES) // _MB


def gain_memory_mb(detector: Detector, conditions: Mapping[str, ConditionValue]) -> int:
    """A large dark constant while it is read, or the results while they are put, and frames in work."""
    constant = _samples(detector, conditions) * _LARGEST_CONSTANT_BYTES
    return _BASE_MEMORY_MB + (constant + 2 * BUFFERED_BYTES) // _MB


def simulation_memory_mb(detector: Detector, cells: int, modules: int) -> int:
    """Truth and a train of each module that is simulated at the same time, measured.

    Without gain planes the truth is kept for each memory cell and gain stage, else for each cell.
    """
    of_sample = 30 if detector.planes else len(detector.gain_stages) * 22
    together = min(modules, task_threads())
    return _BASE_MEMORY_MB + together * cells * _pixels(detector) * of_sample // _MB


def corrected_size_mb(detector: Detector, files: Sequence[RawFile]) -> int:
    """Corrected values are not compressed; gain and mask shrink to almost nothing."""
    raw = sum(file.path.stat().st_size for file in files if file.path.is_file())  # a link may dangle
    return int(raw * 4.4 / (_itemsize(detector.image_keys) * prod(detector.planes))) // _MB


def dark_bytes(detector: Detector, conditions: Mapping[str, ConditionValue]) -> int:
    """Offset, noise (f8) and bad pixels (u4) of a module, and thresholds (f8) of gain planes."""
    return _samples(detector, conditions) * (len(detector.gain_stages) * 20 + _levels(detector) * 8)


def gain_bytes(detector: Detector, conditions: Mapping[str, ConditionValue], of_sample: int) -> int:
    """Constants of a module, with so many bytes per pixel and memory cell."""
    return _samples(detector, conditions) * of_sample


def raw_size_mb(detector: Detector, frames: int) -> int:
    """Raw image data of a number of module frames."""
    return frames * _pixels(detector) * prod(detector.planes) * _itemsize(detector.image_keys) // _MB


def _levels(detector: Detector) -> int:
    """Of gain planes: the levels of all stages, and thresholds between them."""
    return 2 * len(detector.gain_stages) - 1 if detector.planes else 0


def _pixels(detector: Detector) -> int:
    return detector.module_shape[0] * detector.module_shape[1]


def _itemsize(keys: Mapping[str, str]) -> int:
    return sum(int(dtype[1:]) for dtype in keys.values())


def _samples(detector: Detector, conditions: Mapping[str, ConditionValue]) -> int:
    """Pixels of a module in all memory cells."""
    return int(conditions.get("Memory Cells", conditions.get("Memory cells", 1))) * _pixels(detector)
