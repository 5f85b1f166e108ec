"""The baseline of AGIPD modules, found in one of three ways; see `kernels.baseline`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from calibook.calibration.agipd.correct import AgipdCorrection, Baseline
from calibook.calibration.agipd.first_pass import Selection, cells_of
from calibook.detectors.bad_pixels import INFORMATIONAL
from calibook.detectors.base import Detector
from calibook.errors import BadParameter
from calibook.kernels.analogue_gain import correct_frames
from calibook.kernels.baseline import histogram_shift, noise_peak_shift, stripe_shift
from calibook.kernels.bits import ALL
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import open_raw

REFERENCE_FRAMES = 64
"""Frames, spread over a file, that make its reference histogram."""
REFERENCE_RANGE, REFERENCE_BIN = (-300.0, 1000.0), 5.0
"""ADU: the dark peak, and some photons."""
_EXCLUDED = int(ALL) & ~int(INFORMATIONAL)


def by_noise_peak(threshold: float) -> Baseline:
    """The lowest peak of a frame's histogram; those whose mean signal is above `threshold` are left alone."""
    return partial(noise_peak_shift, noise_threshold=threshold, excluded=_EXCLUDED)


def by_stripes(detector: Detector, rows: Sequence[int]) -> Baseline:
    """The median of rows that see no light. Raises BadParameter for none, or rows that aren't there."""
    slow, fast = detector.module_shape
    if not rows or not 0 <= min(rows) <= max(rows) < slow:
        raise BadParameter(f"rows without light: {list(rows)}; needs some of 0 to {slow - 1}")
    stripes = np.isin(np.arange(slow), rows).repeat(fast)
    return partial(stripe_shift, stripes=stripes, excluded=_EXCLUDED)


def by_histogram(
    detector: Detector,
    task: Task,
    correction: AgipdCorrection,
    selection: Selection | None = None,
) -> Baseline:
    """The shift that moves a frame's histogram onto that of the task's file.

    That is the sum over frames spread over the file, each moved to where
    `by_noise_peak` finds its dark peak: at most REFERENCE_FRAMES of those selected.
    """
    with open_raw(task.inputs[0], detector, task.about["karabo_id"]) as raw:
        (selection or Selection()).apply(raw)
        entries = np.unique(np.linspace(0, raw.n_entries - 1, REFERENCE_FRAMES).round().astype("i8"))
        block = raw.read(entries, raw.new_buffers(len(entries)))
        shape = (block.frames, raw.image_shape[0] * raw.image_shape[1])
        data, gain, mask = (np.empty(shape, dtype) for dtype in ("f4", "u1", "u4"))
        cells = cells_of(block, correction.constants.cells)
        planes = block.images["data"].reshape(block.frames, 2, -1)
        correct_frames(
            planes, cells, correction.constants, data, gain, mask,
            fixed_stage=correction.fixed_stage, offset_only=True,
        )  # fmt: skip
    noise_peak_shift(data, gain, mask, excluded=_EXCLUDED)
    used = (gain == 0) & ((mask & np.uint32(_EXCLUDED)) == 0) & np.isfinite(data)
    low, high = REFERENCE_RANGE
    counts, _ = np.histogram(data[used], int((high - low) / REFERENCE_BIN), REFERENCE_RANGE)
    return partial(
        histogram_shift,
        reference=counts.astype("f8"),
        low=low,
        bin_width=REFERENCE_BIN,
        excluded=_EXCLUDED,
    )
