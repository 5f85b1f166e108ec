"""Characterise the darks of one module: sums over the runs of all gain stages, then constants."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from calibook.calibration.planning.resources import BUFFERED_BYTES
from calibook.calibration.workers import worker_threads
from calibook.detectors.base import Detector
from calibook.errors import BadInput
from calibook.kernels.bisection import medians
from calibook.kernels.darks import DarkSums
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import RawModuleFile, open_raw

# Fewer pixels than these at a time are not worth a visit to each frame.
_FEWEST_PIXELS = 2048


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

    @property
    def wrong_share(self) -> np.ndarray:
        """Share of the samples of each gain stage's run that show another stage: f8 (gain,)."""
        wrong, right = (array.sum(axis=(0, 2, 3)) for array in (self.wrong, self.count))
        return wrong / np.maximum(1, wrong + right)


def characterise_darks(
    detector: Detector,
    task: Task,
    gain_codes: Sequence[int],
    *,
    offset_by: str = "mean",
    threads: int | None = None,
) -> Darks:
    """Offset and noise of a module from its dark runs, each read once.

    task: with about["files"], {gain stage: paths}, and about["conditions"]
    gain_codes: code that each gain stage shows
    offset_by: "mean" or "median"

    Raises BadInput if a file can't be used, or if most pixels of a run show
    another gain stage than the run was given for.
    """
    cells = int(task.about["conditions"]["Memory Cells"])
    stages = []
    for (stage, files), code in zip(task.about["files"].items(), gain_codes, strict=True):
        with ExitStack() as stack:
            raws = [stack.enter_context(open_raw(path, detector, task.about["karabo_id"])) for path in files]
            frames = _Frames(raws, cells, code)
            sums, median = frames.sums(offset_by == "median", threads or worker_threads())
        _refuse_other_stage(sums, stage, files)
        offset, noise = sums.mean_and_std()
        noise *= unbiased(sums.count)
        stages.append((offset if median is None else median, noise, sums.count, sums.saturated, sums.wrong))
    shape = (cells, len(stages), *detector.module_shape)
    offset, noise, count, saturated, wrong = (
        np.stack(arrays, axis=1).reshape(shape) for arrays in zip(*stages, strict=True)
    )
    seen = tuple(int((count[:, s] + wrong[:, s]).max()) for s in range(len(stages)))
    return Darks(offset, noise, count, saturated, wrong, seen)


@dataclass(frozen=True)
class _Frames:
    """The dark frames of one gain stage: of all files of its run, which are open."""

    raws: Sequence[RawModuleFile]
    cells: int
    code: int

    def sums(self, with_medians: bool, threads: int) -> tuple[DarkSums, np.ndarray | None]:
        """Of all pixels; medians, if wanted, are f8 (cell, pixel).

        A thread takes some pixels of all frames at a time, as a median needs
        them all at once; how many depends on how many frames there are.
        """
        pixels = prod(self.raws[0].image_shape)
        sample_bytes = sum(np.dtype(dtype).itemsize for dtype in self.raws[0].detector.image_keys.values())
        frame_bytes = threads * sample_bytes * sum(raw.n_frames for raw in self.raws)
        step = max(1, BUFFERED_BYTES // (frame_bytes * _FEWEST_PIXELS)) * _FEWEST_PIXELS
        bounds = [*range(0, pixels, min(step, -(-pixels // threads))), pixels]
        with ThreadPoolExecutor(threads, "darks") as pool:
            jobs = [pool.submit(self._of_pixels, *part, with_medians) for part in pairwise(bounds)]
            found = [job.result() for job in jobs]
        middle = [median for _, median in found if median is not None]
        sums = DarkSums.beside([sums for sums, _ in found])
        return sums, np.concatenate(middle, axis=1) if with_medians else None

    def _of_pixels(self, first: int, last: int, with_median: bool) -> tuple[DarkSums, np.ndarray | None]:
        blocks = [raw.read_pixels(first, last) for raw in self.raws]
        adc, code = (np.concatenate([block.images[key] for block in blocks]) for key in ("adc", "gain"))
        cell = np.concatenate([block.cells for block in blocks])
        if self.cells == 1:
            cell = np.zeros_like(cell)  # with one cell in use its number in the file tells nothing
        sums = DarkSums.zeros(self.cells, last - first)
        sums.accumulate(adc, code, cell, self.code)
        return sums, medians(adc, code, cell, self.code, self.cells) if with_median else None


def unbiased(count: np.ndarray) -> np.ndarray:
    """From the spread of n samples to that of the pixel: sqrt(n / (n - 1)), NaN for one sample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.sqrt(count / (count.astype("f8") - 1.0))
    return np.where(count > 1, factor, np.nan)


def _refuse_other_stage(sums: DarkSums, stage: str, files: Sequence[str]) -> None:
    right, wrong = int(sums.count.sum()), int(sums.wrong.sum())
    if wrong > right:
        raise BadInput(
            files[0],
            f"{wrong / (right + wrong):.0%} of the samples show another gain stage than {stage}; "
            "were the dark runs given in another order than high, medium, low gain?",
        )
