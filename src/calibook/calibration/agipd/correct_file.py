"""Correct one raw file of AGIPD, with the frames of a memory cell together."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from calibook.calibration import tally
from calibook.calibration.agipd.constants import GainOptions, StageOptions, pack_agipd
from calibook.calibration.agipd.correct import AgipdCorrection, ChipMode, cell_by_cell, correct_agipd_frames
from calibook.calibration.agipd.first_pass import Selection, cells_of
from calibook.calibration.agipd.samples import AgipdSamples
from calibook.calibration.correct_task import corrected_file
from calibook.calibration.workers import correct_all
from calibook.detectors.agipd import AGIPD, ASIC_SHAPE, THRESHOLDS_DARK
from calibook.detectors.base import Detector
from calibook.kernels.bits import ALL
from calibook.kernels.frame_samples import PLANE_BINS, add_planes, chip_sums
from calibook.procedures.tasks import Task
from calibook.runs.datasets import deflated
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


def warm_up() -> None:
    """Load the kernels that corrections use: once, before processes for tasks are forked."""
    shape, stages = AGIPD.module_shape, len(AGIPD.gain_stages)
    frames, pixels = 2, prod(shape)
    constants = {
        "Offset": np.full((2, stages, *shape), 5000, "f4"),
        "ThresholdsDark": np.full((2, len(THRESHOLDS_DARK), *shape), 6000, "f4"),
        "BadPixelsDark": np.zeros((2, stages, *shape), "u4"),
    }
    gains = GainOptions(relative=False, adjust_medium=False, xray_gain=1.0)
    packed = pack_agipd(constants, np.zeros(shape, "u4"), StageOptions(), gains)
    raw = np.full((frames, 2, pixels), 5100, "u2")
    data, gain, mask = (np.zeros((frames, pixels), dtype) for dtype in ("f4", "u1", "u4"))
    for common_mode in (None, ChipMode()):
        correction = AgipdCorrection(packed, medium_not_negative=True, common_mode=common_mode)
        correct_agipd_frames(raw, np.arange(frames), correction, data, gain, mask, shape)
    tally.warm_up(shape, data, gain, mask)
    add_planes(raw, np.zeros((PLANE_BINS, PLANE_BINS), "i8"))
    x, g, m = (array.reshape(-1, *shape) for array in (data, gain, mask))
    chip_sums(x, g, m, ASIC_SHAPE, int(ALL))
    for integers in (gain, mask):
        deflated(integers)
