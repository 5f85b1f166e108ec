"""Characterise the darks of an AGIPD module: three runs, one for each gain stage.

A pixel has its dark signal in a stage, and the level of its gain plane there;
half way between the levels of two stages is the threshold between them.

There are hundreds of memory cells, and each is a case of its own: a thread
takes one at a time, reads its frames of all runs, some pixels at a time if the
frames are many, and leaves maps of it. So each frame is read once, and memory
in use doesn't grow with the number of trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from calibook.calibration.agipd.runs import has_fixed_gain
from calibook.calibration.dark_limits import DarkLimits, bad_pixels_of_darks
from calibook.calibration.darks import unbiased
from calibook.calibration.planning.resources import BUFFERED_BYTES
from calibook.calibration.workers import worker_threads
from calibook.detectors.agipd import GAIN_PLANE, SIGNAL_PLANE
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.errors import BadInput, BadParameter
from calibook.kernels.bisection import medians
from calibook.kernels.cells import frames_by_cell
from calibook.kernels.darks import DarkSums
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import RawModuleFile, open_raw

LIMITS = DarkLimits(
    offset=((3500, 6000), (5500, 9000), (6000, 10000)), noise=((4, 20), (4, 20), (4, 20)), wrong_gain=1.0
)
"""For darks of adaptive gain: forced switching moves the signal up by 2000 ADU and more."""

_RIGHT = 0
# Both planes as they are read and as they are used, and which samples are lost.
_SAMPLE_BYTES = 10
# Fewer pixels than these at a time are not worth a visit to each frame.
_FEWEST_PIXELS = 256


@dataclass(frozen=True)
class AgipdDarks:
    """Darks of one module; arrays are (cell, gain, slow_scan, fast_scan).

    offset, noise: f4, ADU, of the signal; NaN where there was no frame
    level, spread: f4, ADU, mean and standard deviation of the gain plane
    bad: u4, bits of `BadPixels`
    frames: frames of each gain stage's run in the cell that has most
    fixed_gain: whether the stages were held by fixed gain modes
    """

    offset: np.ndarray
    noise: np.ndarray
    level: np.ndarray
    spread: np.ndarray
    bad: np.ndarray
    frames: tuple[int, ...]
    fixed_gain: bool

    def constants(self) -> dict[str, np.ndarray]:
        """{calibration: (cell, gain or quantity, slow_scan, fast_scan)}; with fixed gain no stages
        are told apart, and there is no ThresholdsDark."""
        found = {"Offset": self.offset, "Noise": self.noise, "BadPixelsDark": self.bad}
        return found if self.fixed_gain else {**found, "ThresholdsDark": thresholds_of(self.level)}


def characterise_agipd_darks(
    detector: Detector,
    task: Task,
    limits: DarkLimits = LIMITS,
    *,
    gain_sigmas: float = 5.0,
    offset_by: str = "median",
    threads: int | None = None,
) -> AgipdDarks:
    """Offset, noise, gain-plane levels and bad pixels of a module.

    task: with about["files"], {gain stage: paths} from high to low gain, about["conditions"],
        and about["valid_for"], which tells whether the gain was fixed
    gain_sigmas: by how much the gain plane has to rise from stage to stage, see
        `gain_separation_errors`; of no account with fixed gain
    offset_by: "median", exact, or "mean"
    threads: that compute; None for `worker_threads()`. Makes no difference to the results

    Samples of 0 are of lost frames and count nowhere. Noise and spread are
    those of the pixel, from n - 1 degrees of freedom.

    Raises BadInput if a file can't be used or the runs are in another order.
    """
    if offset_by not in ("median", "mean"):
        raise BadParameter(f"offset_by is {offset_by!r}, needs median or mean")
    cells, files = int(task.about["conditions"]["Memory cells"]), task.about["files"]
    fixed, threads = has_fixed_gain(task), threads or worker_threads()
    shape = (cells, len(files), *detector.module_shape)
    maps = {name: np.empty(shape, np.float32) for name in ("offset", "noise", "level", "spread")}
    bad, frames = np.empty(shape, np.uint32), np.zeros(shape[:2], np.int64)

    def characterise(runs: Sequence[_Run], cell: int) -> None:
        stages = (run.of_cell(cell) for run in runs)
        found = _Maps(*(np.stack(each).reshape(1, *shape[1:]) for each in zip(*stages, strict=True)))
        words = bad_pixels_of_darks(
            found.offset, found.noise, found.used, np.zeros_like(found.used), found.saturated, limits
        )
        if not fixed:
            _refuse_other_order(found.level[0], files)
            words |= gain_separation_errors(found.level, found.spread, gain_sigmas)
        for name, map_ in maps.items():
            map_[cell] = getattr(found, name)[0]
        bad[cell], frames[cell] = words[0], found.used.max(axis=(0, 2, 3))

    with ExitStack() as stack, ThreadPoolExecutor(threads, "darks") as pool:
        runs = []
        for paths in files.values():
            raws = [stack.enter_context(open_raw(path, detector, task.about["karabo_id"])) for path in paths]
            runs.append(_Run.of(raws, cells, offset_by == "median", BUFFERED_BYTES // threads))
        list(pool.map(partial(characterise, runs), range(cells)))
    return AgipdDarks(**maps, bad=bad, frames=tuple(frames.max(axis=0).tolist()), fixed_gain=fixed)


class _Maps(NamedTuple):
    """As in `AgipdDarks`; used, saturated: u4, samples that count, and those at the ADC's upper end."""

    offset: np.ndarray
    noise: np.ndarray
    level: np.ndarray
    spread: np.ndarray
    used: np.ndarray
    saturated: np.ndarray


@dataclass(frozen=True)
class _Run:
    """The dark run of one gain stage.

    raws: its files, open
    by_cell: of each file, entries ordered by memory cell, and where each cell's begin
    buffered: bytes of samples to hold at a time
    """

    raws: Sequence[RawModuleFile]
    by_cell: Sequence[tuple[np.ndarray, np.ndarray]]
    with_median: bool
    buffered: int

    @classmethod
    def of(cls, raws: Sequence[RawModuleFile], cells: int, with_median: bool, buffered: int) -> _Run:
        ids = (raw.ids(raw.detector.cell_key) for raw in raws)
        return cls(raws, [frames_by_cell(cell, cells)[:2] for cell in ids], with_median, buffered)

    def of_cell(self, cell: int) -> _Maps:
        """Maps (pixel,) of a memory cell."""
        frames = [order[first[cell] : first[cell + 1]] for order, first in self.by_cell]
        pixels = prod(self.raws[0].image_shape)
        step = max(_FEWEST_PIXELS, self.buffered // (_SAMPLE_BYTES * max(1, sum(map(len, frames)))))
        bounds = [*range(0, pixels, step), pixels]
        parts = [self._of_pixels(frames, *part) for part in pairwise(bounds)]
        return _Maps(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _of_pixels(self, frames: Sequence[np.ndarray], first: int, last: int) -> _Maps:
        blocks = [
            raw.read_pixels(first, last, entries) for raw, entries in zip(self.raws, frames, strict=True)
        ]
        planes = [block.images["data"].reshape(block.frames, 2, last - first) for block in blocks]
        signal, gain = (
            np.concatenate([both[:, plane] for both in planes]) for plane in (SIGNAL_PLANE, GAIN_PLANE)
        )
        lost = _lost(signal)
        sums, of_gain = _sums(signal, lost), _sums(gain, _lost(gain))
        mean, noise = _mean_and_noise(sums)
        offset = medians(signal, lost, np.zeros(len(signal)), _RIGHT, 1) if self.with_median else mean
        found = (offset, noise, *_mean_and_noise(of_gain), sums.count, sums.saturated)
        return _Maps(*(array[0] for array in found))


def _sums(adc: np.ndarray, lost: np.ndarray) -> DarkSums:
    sums = DarkSums.zeros(1, adc.shape[1])
    sums.accumulate(adc, lost, np.zeros(len(adc), np.int64), _RIGHT)
    return sums


def _lost(adc: np.ndarray) -> np.ndarray:
    """u1, not _RIGHT where a sample is of a lost frame: the codes that dark sums ask for."""
    return (adc == 0).view(np.uint8)


def _mean_and_noise(sums: DarkSums) -> tuple[np.ndarray, np.ndarray]:
    mean, std = sums.mean_and_std()
    return mean, std * unbiased(sums.count)


def _refuse_other_order(level: np.ndarray, files: Mapping[str, Sequence[str]]) -> None:
    """level: (gain, slow_scan, fast_scan) of one memory cell"""
    known = [of_stage[np.isfinite(of_stage)] for of_stage in level]
    means = [float(np.median(values)) if values.size else np.nan for values in known]
    if any(b <= a for a, b in pairwise(means)):
        listed = ", ".join(f"{stage}: {mean:.0f} ADU" for stage, mean in zip(files, means, strict=True))
        raise BadInput(
            next(iter(files.values()))[0],
            f"the gain plane does not rise from stage to stage ({listed}); "
            "were the dark runs given in another order than high, medium, low gain?",
        )


def thresholds_of(level: np.ndarray) -> np.ndarray:
    """ThresholdsDark, f4 (cell, 5, slow_scan, fast_scan): half way between the levels of
    successive stages; then the levels themselves [ADU].

    level: f4 (cell, gain, slow_scan, fast_scan)
    """
    return np.concatenate([(level[:, :-1] + level[:, 1:]) / 2, level], axis=1)


def gain_separation(level: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """How far apart the levels of two successive stages are, upwards, in units of the square root
    of the sum of their variances: f4 (cell, pair of stages, slow_scan, fast_scan).

    level, spread: f4 (cell, gain, slow_scan, fast_scan)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return (level[:, 1:] - level[:, :-1]) / np.hypot(spread[:, 1:], spread[:, :-1])


def gain_separation_errors(level: np.ndarray, spread: np.ndarray, sigmas: float = 5.0) -> np.ndarray:
    """GAIN_THRESHOLDING_ERROR where two levels are too near: u4 (cell, gain, slow_scan, fast_scan).

    Two levels have to be `sigmas` apart, see `gain_separation`. Where high and
    medium gain can't be told apart no sample's stage is known; else only those
    two that can't.
    """
    apart = gain_separation(level, spread) >= sigmas
    words = np.zeros(level.shape, np.uint32)
    words[~np.broadcast_to(apart[:, :1], level.shape)] = BadPixels.GAIN_THRESHOLDING_ERROR
    for pair in range(1, apart.shape[1]):
        for stage in (pair, pair + 1):
            words[:, stage][~apart[:, pair]] |= np.uint32(BadPixels.GAIN_THRESHOLDING_ERROR)
    return words
