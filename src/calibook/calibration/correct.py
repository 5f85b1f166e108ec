"""Correct one raw file: read blocks of frames, correct them in threads, write them."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from calibook.calibration.resources import BLOCK_FRAMES
from calibook.calibration.tally import Tally
from calibook.detectors.bad_pixels import INFORMATIONAL
from calibook.detectors.base import Detector
from calibook.kernels.bits import ALL
from calibook.kernels.common_mode import common_mode
from calibook.kernels.gain_switching import apply_scale, correct_planes
from calibook.kernels.packing import PackedConstants
from calibook.kernels.photons import round_photons
from calibook.procedures.tasks import Task
from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.raw_file import Block, open_raw

# Pixels with other than these bits neither estimate the common mode nor are corrected for it.
_EXCLUDED = int(ALL) & ~int(INFORMATIONAL)


@dataclass(frozen=True)
class CommonMode:
    """Options of the common-mode step, see `kernels.common_mode`.

    dark_range: only pixels within this distance from zero estimate it, ADU
    min_pixels: fewest pixels that give an estimate
    max_shift: larger shifts are not believed, ADU
    """

    dark_range: float = 60.0
    min_pixels: int = 10
    max_shift: float = 200.0


@dataclass(frozen=True)
class Correction:
    """What is done to every frame.

    nan_bits: data becomes NaN where the mask has one of these bits
    rounding_threshold: photons are rounded to whole numbers with it; None leaves them
    ranges: (start, end) of the histogram of each gain stage, in the unit of the result
    """

    packed: PackedConstants
    ranges: tuple[tuple[float, float], ...]
    nan_bits: int = 0
    common_mode: CommonMode | None = None
    rounding_threshold: float | None = None


@dataclass(frozen=True)
class _Outputs:
    """Buffers of a block: f4, u1, u4 (frames, pixels)."""

    data: np.ndarray
    gain: np.ndarray
    mask: np.ndarray

    @classmethod
    def empty(cls, frames: int, pixels: int) -> _Outputs:
        shape = (frames, pixels)
        return cls(np.empty(shape, "f4"), np.empty(shape, "u1"), np.empty(shape, "u4"))

    def part(self, start: int, stop: int) -> _Outputs:
        return _Outputs(self.data[start:stop], self.gain[start:stop], self.mask[start:stop])


def worker_threads() -> int:
    """Threads of a task: CALIBOOK_THREADS, else the CPUs that this process may use."""
    return int(os.environ.get("CALIBOOK_THREADS") or len(os.sched_getaffinity(0)))


def correct_file(
    detector: Detector, task: Task, correction: Correction, threads: int | None = None
) -> dict[str, Any]:
    """Correct the task's raw file into its output, which appears when it is whole.

    Returns what the summary needs, see `Tally.results`. The bytes of the file
    don't depend on the number of threads.

    Raises BadInput with file, dataset and train if the raw file can't be used.
    """
    began = time.perf_counter()
    threads = threads or worker_threads()
    target = Path(task.outputs[0])
    with (
        open_raw(task.inputs[0], detector, task.about["karabo_id"]) as raw,
        CorrectedWriter(target, raw, detector, threads=threads) as writer,
        ThreadPoolExecutor(threads, "correct") as pool,
    ):
        tally = Tally(raw.image_shape, correction.ranges)
        buffers = _Outputs.empty(max(BLOCK_FRAMES, raw.frames_per_entry), int(np.prod(raw.image_shape)))
        for block in raw.blocks(BLOCK_FRAMES):
            outputs = buffers.part(0, block.frames)
            _correct_block(pool, threads, block, outputs, correction, raw.image_shape)
            tally.add(outputs.data, outputs.gain, outputs.mask)
            writer.write(block, outputs.data, outputs.gain, outputs.mask)
        results = tally.results()
        results["train_ids"] = raw.train_ids
        results["trains"] = raw.n_trains
    return {
        **results,
        "module": task.about["module"],
        "sequence": task.about["sequence"],
        "seconds": time.perf_counter() - began,
    }


def _correct_block(
    pool: ThreadPoolExecutor,
    threads: int,
    block: Block,
    outputs: _Outputs,
    correction: Correction,
    shape: tuple[int, int],
) -> None:
    """Share the frames of a block among the threads."""
    bounds = np.linspace(0, block.frames, min(threads, block.frames) + 1).astype(int)
    jobs = [
        pool.submit(_correct_frames, block, start, stop, outputs.part(start, stop), correction, shape)
        for start, stop in pairwise(bounds)
    ]
    for job in jobs:
        job.result()


def _correct_frames(
    block: Block, start: int, stop: int, out: _Outputs, correction: Correction, shape: tuple[int, int]
) -> None:
    """Frames start to stop of a block: one fused pass, or three with common mode between."""
    packed, nan_bits = correction.packed, correction.nan_bits
    options = correction.common_mode
    # Constants of single-cell mode are for the one cell in use, whatever its number.
    cells = block.cells[start:stop] if packed.cells > 1 else np.zeros(stop - start, np.int64)
    correct_planes(
        block.images["adc"][start:stop],
        block.images["gain"][start:stop],
        cells,
        packed,
        out.data,
        out.gain,
        out.mask,
        nan_mask=nan_bits,
        offset_only=options is not None,
    )
    if options is not None:
        common_mode(
            out.data.reshape(-1, *shape),
            out.gain.reshape(-1, *shape),
            out.mask.reshape(-1, *shape),
            dark_range=options.dark_range,
            min_pixels=options.min_pixels,
            max_shift=options.max_shift,
            excluded=_EXCLUDED,
        )
        apply_scale(out.data, out.gain, out.mask, cells, packed, nan_mask=nan_bits)
    if correction.rounding_threshold is not None:
        round_photons(out.data, correction.rounding_threshold)
