"""Characterise the darks of one module: sums over the runs of all gain stages, then constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibook.calibration.resources import BLOCK_FRAMES
from calibook.constants import Condition, Constant, Store, as_stored
from calibook.detectors.base import ConditionValue, Detector
from calibook.errors import BadInput
from calibook.files import read_json, write_json
from calibook.kernels.darks import DarkSums
from calibook.kernels.median import StreamingMedian
from calibook.procedures.tasks import Plan, Task
from calibook.runs.raw_file import open_raw

_AXES, _AXES_NO_GAIN = ("cell", "gain", "slow_scan", "fast_scan"), ("cell", "slow_scan", "fast_scan")
# Histograms of that many memory cells are held at a time: 0.3 GB each.
_MEDIAN_CELLS = 4


@dataclass(frozen=True)
class Darks:
    """Darks of one module; arrays are (cell, gain, slow_scan, fast_scan).

    offset, noise: f8, ADU; NaN where no frame had the expected gain stage
    count: frames with the expected gain code; the next is of those
    saturated: frames at an end of the ADC's range
    wrong: frames with another gain code
    frames: frames of each gain stage's run, per memory cell
    """

    offset: np.ndarray
    noise: np.ndarray
    count: np.ndarray
    saturated: np.ndarray
    wrong: np.ndarray
    frames: tuple[int, ...]


def characterise_darks(
    detector: Detector, task: Task, gain_codes: Sequence[int], *, offset_by: str = "mean"
) -> Darks:
    """Offset and noise of a module from its dark runs, read once (for medians, more often).

    task: with about["files"], {gain stage: paths}, and about["conditions"]
    gain_codes: code that each gain stage shows
    offset_by: "mean" or "median"

    Raises BadInput if a file can't be used, or if most pixels of a run show
    another gain stage than the run was given for.
    """
    cells = int(task.about["conditions"]["Memory Cells"])
    stages = []
    for (stage, files), code in zip(task.about["files"].items(), gain_codes, strict=True):
        frames = _Frames(detector, task.about["karabo_id"], files, cells)
        sums = DarkSums.zeros(cells, int(np.prod(detector.module_shape)))
        for images, cell in frames.blocks():
            sums.accumulate(images["adc"], images["gain"], cell, code)
        _refuse_other_stage(sums, stage, files)
        offset, noise = sums.mean_and_std()
        noise *= _unbiased(sums.count)
        if offset_by == "median":
            offset = _medians(frames, sums.count.shape, code)
        stages.append((offset, noise, sums.count, sums.saturated, sums.wrong))
    shape = (cells, len(stages), *detector.module_shape)
    offset, noise, count, saturated, wrong = (
        np.stack(arrays, axis=1).reshape(shape) for arrays in zip(*stages, strict=True)
    )
    seen = tuple(int((count[:, s] + wrong[:, s]).max()) for s in range(len(stages)))
    return Darks(offset, noise, count, saturated, wrong, seen)


@dataclass(frozen=True)
class _Frames:
    """The dark frames of one gain stage, from all files of its run."""

    detector: Detector
    karabo_id: str
    files: Sequence[str]
    cells: int

    def blocks(self) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """(images, memory cells) of blocks of frames; valid until the next is asked for."""
        for path in self.files:
            with open_raw(path, self.detector, self.karabo_id) as raw:
                for block in raw.blocks(BLOCK_FRAMES):
                    # With one cell in use its number in the file tells nothing.
                    yield block.images, block.cells if self.cells > 1 else np.zeros_like(block.cells)


def _unbiased(count: np.ndarray) -> np.ndarray:
    """From the spread of n samples to that of the pixel: sqrt(n / (n - 1)), NaN for one sample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.sqrt(count / (count.astype("f8") - 1.0))
    return np.where(count > 1, factor, np.nan)


def _medians(frames: _Frames, shape: tuple[int, ...], code: int) -> np.ndarray:
    """Exact medians, f8 (cell, pixel), a few memory cells at a time."""
    cells, pixels = shape
    result = np.empty(shape)
    for start in range(0, cells, _MEDIAN_CELLS):
        part = StreamingMedian(min(_MEDIAN_CELLS, cells - start), pixels)
        # Cells outside the part have an index outside it and are left out.
        for images, cell in frames.blocks():
            part.count_coarse(images["adc"], images["gain"], cell - start, code)
        part.refine()
        for images, cell in frames.blocks():
            part.count_fine(images["adc"], images["gain"], cell - start, code)
        result[start : start + _MEDIAN_CELLS] = part.median()
    return result


def _refuse_other_stage(sums: DarkSums, stage: str, files: Sequence[str]) -> None:
    right, wrong = int(sums.count.sum()), int(sums.wrong.sum())
    if wrong > right:
        raise BadInput(
            files[0],
            f"{wrong / (right + wrong):.0%} of the samples show another gain stage than {stage}; "
            "were the dark runs given in another order than high, medium, low gain?",
        )


def put_darks(
    detector: Detector, task: Task, arrays: dict[str, np.ndarray], *, inject: bool = True
) -> list[Constant]:
    """Put a module's dark constants into the store, and list them in the task's output.

    arrays: {calibration: (cell, gain, slow_scan, fast_scan)}, or without the gain axis
    inject: False leaves the store alone; the list is then empty

    Doing it again changes nothing: the same content is one entry.
    """
    about = task.about
    put = []
    for calibration, array in arrays.items() if inject else ():
        facts = detector.constants[calibration]
        stored = as_stored(array.astype(facts.dtype), _AXES, facts.dims)
        for valid_for in about["valid_for"]:
            constant = Store(about["store"]).put(
                stored,
                calibration=calibration,
                pdu=about["unit"],
                detector_type=detector.detector_type,
                conditions=_conditions(detector, calibration, valid_for),
                begin=about["begin"],
                dims=facts.dims,
                raw_location=", ".join(Path(path).name for path in task.inputs),
            )
            put.append(constant)
    write_json(task.outputs[0], {"unit": about["unit"], "constants": [c.to_dict() for c in put]})
    return put


def _conditions(detector: Detector, calibration: str, found: Mapping[str, ConditionValue]) -> list[Condition]:
    """What a kind of constant depends on, with the detector's tolerances."""
    return [
        Condition(name, value, *(2 * [detector.tolerances.get(name, 0.0)]))
        for name, value in detector.conditions_of(calibration, found).items()
    ]


def made_constants(plan: Plan) -> list[dict[str, Any]]:
    """Rows of a table of all constants that the plan's tasks put: unit, calibration, entry, ..."""
    rows = []
    for task in plan.tasks:
        listed = read_json(task.outputs[0])["constants"] if Path(task.outputs[0]).is_file() else []
        rows += [
            {
                "unit": c["pdu"],
                "calibration": c["calibration"],
                "entry": c["id"],
                "valid from": c["begin"][:19],
            }
            for c in listed
        ]
    return rows
