"""Correct one raw file of AGIPD, with the frames of a memory cell together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from calibook.calibration.agipd_correct import (
    AgipdCorrection,
    cell_by_cell,
    correct_agipd_frames,
    select_frames,
)
from calibook.calibration.agipd_samples import AgipdSamples
from calibook.calibration.correct_task import corrected_file
from calibook.calibration.workers import correct_all, worker_threads
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.kernels.pixel_checks import Extremes
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import Block, RawModuleFile, open_raw

FEWEST_FRAMES = 10
"""Of a memory cell, to say that a pixel never changes: with noise of 8 ADU two frames are equal in one
of thirty good pixels, ten in none."""
_BLOCK_FRAMES = 64


@dataclass(frozen=True)
class Selection:
    """Which frames of a file are corrected, see `agipd_correct.select_frames`."""

    max_pulses: Sequence[int] = ()
    lit_pulses: Sequence[int] | None = None


def correct_agipd_file(
    detector: Detector,
    task: Task,
    correction: AgipdCorrection,
    ranges: tuple[tuple[float, float], ...],
    selection: Selection | None = None,
    *,
    legacy_name: bool = False,
    threads: int | None = None,
) -> dict[str, Any]:
    """Correct the task's raw file into its output, which appears when it is whole.

    ranges: (start, end) of the histogram of each gain stage, in the unit of the result
    legacy_name: the data can be read by the raw source's name, too

    Returns what the summary needs, see `Tally.results` and `AgipdSamples.results`.
    Neither it nor the bytes of the file depend on the number of threads.

    Raises BadInput with file, dataset and train if the raw file can't be used.
    """
    chosen = selection or Selection()

    def select(raw: RawModuleFile) -> None:
        select_frames(raw, chosen.max_pulses, chosen.lit_pulses)

    with corrected_file(detector, task, select, legacy_name) as (raw, writer, results):
        samples = AgipdSamples(raw)
        constants = correction.constants

        def correct(
            block: Block, data: np.ndarray, gain: np.ndarray, mask: np.ndarray
        ) -> dict[str, np.ndarray]:
            planes = block.images["data"].reshape(block.frames, 2, -1)
            # Constants of one memory cell are for all.
            cells = block.cells if constants.cells > 1 else np.zeros(block.frames, np.int64)
            shifts = correct_agipd_frames(planes, cells, correction, data, gain, mask, raw.image_shape)
            samples.add(block, data, gain, mask, shifts)
            return {"blShift": shifts.whole}

        groups = cell_by_cell(raw, raw.n_frames)
        results.update(correct_all(raw, writer, correct, ranges, threads=threads, groups=groups).results())
        results.update(samples.results())
    return results


def stuck_pixels(detector: Detector, task: Task, threads: int | None = None) -> np.ndarray:
    """DATA_STD_IS_ZERO for pixels whose raw signal is the same in all frames of a memory cell in the file.

    That takes a pass over the whole file, before it is corrected. Cells with
    fewer than FEWEST_FRAMES frames are not judged.

    Returns u4 (cell, 1, slow_scan, fast_scan), for the cells up to the highest that occurs.
    """
    with open_raw(task.inputs[0], detector, task.about["karabo_id"]) as raw:
        cell = raw.ids(detector.cell_key).astype("i8")
        count = np.bincount(cell)
        found = _extremes(raw, len(count), threads or worker_threads())
        stuck = found.constant() & (count >= FEWEST_FRAMES)[:, None]
        word = np.where(stuck, np.uint32(BadPixels.DATA_STD_IS_ZERO), np.uint32(0))
        return word.reshape(len(count), 1, *raw.image_shape)


def _extremes(raw: RawModuleFile, cells: int, threads: int) -> Extremes:
    """Of all frames. Threads read on their own, and take turns to look: there is but one table."""
    parts = [part for group in cell_by_cell(raw, raw.n_frames) for part in raw.parts(_BLOCK_FRAMES, group)]
    extremes, turn = Extremes.none(cells, int(np.prod(raw.image_shape))), Lock()

    def look(every: list[np.ndarray]) -> None:
        buffers = raw.new_buffers(_BLOCK_FRAMES)
        for part in every:
            block = raw.read(part, buffers)
            with turn:
                extremes.add(block.images["data"].reshape(block.frames, 2, -1), block.cells)

    with ThreadPoolExecutor(threads, "stuck") as pool:
        list(pool.map(look, (parts[n::threads] for n in range(threads))))
    return extremes
