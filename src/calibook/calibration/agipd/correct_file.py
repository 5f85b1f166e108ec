"""Correct one raw file of AGIPD, with the frames of a memory cell together."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibook.calibration.agipd.correct import AgipdCorrection, cell_by_cell, correct_agipd_frames
from calibook.calibration.agipd.first_pass import Selection, cells_of
from calibook.calibration.agipd.samples import AgipdSamples
from calibook.calibration.correct_task import corrected_file
from calibook.calibration.workers import correct_all
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import Block

TRAINS_TOGETHER = 8
"""More would fetch constants less often, but cut what is written into more pieces."""


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
    with corrected_file(detector, task, chosen.apply, legacy_name) as (raw, writer, results):
        samples = AgipdSamples(raw)

        def correct(
            block: Block, data: np.ndarray, gain: np.ndarray, mask: np.ndarray
        ) -> dict[str, np.ndarray]:
            planes = block.images["data"].reshape(block.frames, 2, -1)
            cells = cells_of(block, correction.constants.cells)
            shifts = correct_agipd_frames(planes, cells, correction, data, gain, mask, raw.image_shape)
            samples.add(block, data, gain, mask, shifts)
            return {"blShift": shifts.whole}

        groups = cell_by_cell(raw, raw.n_frames, TRAINS_TOGETHER)
        results.update(correct_all(raw, writer, correct, ranges, threads=threads, groups=groups).results())
        results.update(samples.results())
    return results
