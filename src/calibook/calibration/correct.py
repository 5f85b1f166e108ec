"""Correct one raw file of a detector that tells the gain stage by a code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from calibook.calibration import tally
from calibook.calibration.correct_task import corrected_file
from calibook.calibration.workers import correct_all, worker_threads
from calibook.detectors.bad_pixels import INFORMATIONAL
from calibook.detectors.base import Detector
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.kernels.bits import ALL
from calibook.kernels.common_mode import common_mode
from calibook.kernels.gain_switching import apply_scale, correct_planes
from calibook.kernels.packing import STAGES, PackedConstants, pack_constants
from calibook.kernels.photons import round_photons
from calibook.procedures.tasks import Task
from calibook.runs.datasets import deflated
from calibook.runs.raw_file import Block

__all__ = ["CommonMode", "Correction", "correct_file", "worker_threads"]

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


def correct_file(
    detector: Detector, task: Task, correction: Correction, threads: int | None = None
) -> dict[str, Any]:
    """Correct the task's raw file into its output, which appears when it is whole.

    Returns what the summary needs, see `Tally.results`. The bytes of the file
    don't depend on the number of threads.

    Raises BadInput with file, dataset and train if the raw file can't be used.
    """
    with corrected_file(detector, task) as (raw, writer, results):

        def correct(
            block: Block, data: np.ndarray, gain: np.ndarray, mask: np.ndarray
        ) -> dict[str, np.ndarray]:
            _correct_frames(block, data, gain, mask, correction, raw.image_shape)
            return {}

        results.update(correct_all(raw, writer, correct, correction.ranges, threads=threads).results())
    return results


def warm_up() -> None:
    """Load the kernels that corrections use: once, before processes for tasks are forked."""
    frames, shape = 2, JUNGFRAU.module_shape
    constants = np.ones((1, STAGES, *shape))
    correction = Correction(pack_constants(constants, constants), ((0.0, 1.0),) * STAGES)
    pixels = (frames, prod(shape))
    images = {"adc": np.ones(pixels, "u2"), "gain": np.zeros(pixels, "u1")}
    block = Block(np.arange(frames), frames, images, np.zeros(frames, np.int64))
    data, gain, mask = (np.zeros(pixels, dtype) for dtype in ("f4", "u1", "u4"))
    for options in (None, CommonMode()):
        _correct_frames(block, data, gain, mask, replace(correction, common_mode=options), shape)
    tally.warm_up(shape, data, gain, mask)
    for integers in (gain, mask):
        deflated(integers)


def _correct_frames(
    block: Block,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    correction: Correction,
    shape: tuple[int, int],
) -> None:
    """One fused pass, or three with common mode between."""
    packed, nan_bits = correction.packed, correction.nan_bits
    options = correction.common_mode
    # Constants of single-cell mode are for the one cell in use, whatever its number.
    cells = block.cells if packed.cells > 1 else np.zeros(block.frames, np.int64)
    correct_planes(
        block.images["adc"],
        block.images["gain"],
        cells,
        packed,
        data,
        gain,
        mask,
        nan_mask=nan_bits,
        offset_only=options is not None,
    )
    if options is not None:
        common_mode(
            data.reshape(-1, *shape),
            gain.reshape(-1, *shape),
            mask.reshape(-1, *shape),
            dark_range=options.dark_range,
            min_pixels=options.min_pixels,
            max_shift=options.max_shift,
            excluded=_EXCLUDED,
        )
        apply_scale(data, gain, mask, cells, packed, nan_mask=nan_bits)
    if correction.rounding_threshold is not None:
        round_photons(data, correction.rounding_threshold)
