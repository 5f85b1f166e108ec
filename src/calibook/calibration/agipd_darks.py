"""Characterise the darks of an AGIPD module: three runs, one forced into each gain stage.

A pixel has its dark signal in a stage, and the level of its gain plane there;
half way between the levels of two stages is the threshold between them. As
there are hundreds of memory cells, some are done at a time: their frames alone
are read, so that memory in use doesn't grow with the number of trains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calibook.calibration.dark_limits import DarkLimits, bad_pixels_of_darks
from calibook.detectors.agipd import GAIN_PLANE, SIGNAL_PLANE
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.errors import BadInput, BadParameter
from calibook.kernels.darks import DarkSums
from calibook.kernels.median import StreamingMedian
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import open_raw

_CELLS_AT_A_TIME = 8
_BLOCK_FRAMES = 128
_RIGHT = 0
# Forced switching moves the signal up by 2000 ADU, see the limits of the offset.
_LIMITS = DarkLimits(
    offset=((3500, 6000), (5500, 9000), (6000, 10000)), noise=((4, 20), (4, 20), (4, 20)), wrong_gain=1.0
)


@dataclass(frozen=True)
class AgipdDarks:
    """Darks of one module; arrays are (cell, gain, slow_scan, fast_scan).

    offset, noise: f4, ADU, of the signal; NaN where there was no frame
    level, spread: f4, ADU, mean and standard deviation of the gain plane
    count: u4, frames used; saturated: u4, those at the ADC's upper end
    frames: frames of each gain stage's run in the cell that has most
    """

    offset: np.ndarray
    noise: np.ndarray
    level: np.ndarray
    spread: np.ndarray
    count: np.ndarray
    saturated: np.ndarray
    frames: tuple[int, ...]


def characterise_agipd_darks(
    detector: Detector,
    task: Task,
    offset_by: str = "median",
    cells_at_a_time: int = _CELLS_AT_A_TIME,
    progress: Callable[[int, int], None] | None = None,
) -> AgipdDarks:
    """Offset, noise and gain-plane levels of a module.

    task: with about["files"], {gain stage: paths} from high to low gain, and
        about["conditions"]
    offset_by: "median", exact, or "mean"; the frames are then read once, not three times
    cells_at_a_time: more take more memory (36 MB each) and fewer reads
    progress: called with (cells done, cells in all), over all runs

    Samples of 0 are of lost frames and count nowhere. Noise and spread are
    those of the pixel, from n - 1 degrees of freedom.

    Raises BadInput if a file can't be used or the runs are in another order.
    """
    if offset_by not in ("median", "mean"):
        raise BadParameter(f"offset_by is {offset_by!r}, needs median or mean")
    cells, files = int(task.about["conditions"]["Memory cells"]), task.about["files"]
    shape = (cells, len(files), int(np.prod(detector.module_shape)))
    offset, noise, level, spread = (np.full(shape, np.nan, np.float32) for _ in range(4))
    count, saturated = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    for stage, paths in enumerate(files.values()):
        for start in range(0, cells, cells_at_a_time):
            part = np.s_[start : min(start + cells_at_a_time, cells), stage]
            frames = _Frames(
                detector, task.about["karabo_id"], paths, start, min(cells_at_a_time, cells - start)
            )
            signal, gain = frames.sums()
            offset[part], noise[part] = _mean_and_noise(signal)
            level[part], spread[part] = _mean_and_noise(gain)
            if offset_by == "median":
                offset[part] = frames.median()
            count[part], saturated[part] = signal.count, signal.saturated
            if progress:
                progress(stage * cells + min(start + cells_at_a_time, cells), len(files) * cells)
    maps = (shape[0], shape[1], *detector.module_shape)
    darks = AgipdDarks(
        offset.reshape(maps), noise.reshape(maps), level.reshape(maps), spread.reshape(maps),
        count.reshape(maps), saturated.reshape(maps), tuple(int(count[:, s].max()) for s in range(shape[1])),
    )  # fmt: skip
    _refuse_other_order(darks, files)
    return darks


@dataclass(frozen=True)
class _Frames:
    """The frames of some memory cells in one run: `cells` of them from `start`."""

    detector: Detector
    karabo_id: str
    files: Sequence[str]
    start: int
    cells: int

    def each(self, use: Callable[[np.ndarray, np.ndarray, np.ndarray], object]) -> None:
        """Call `use(signal, gain_plane, cell)` for every block: u2 (frame, pixel) twice, i8 (frame,)."""
        for path in self.files:
            with open_raw(path, self.detector, self.karabo_id) as raw:
                cell = raw.ids(self.detector.cell_key).astype("i8") - self.start
                entries = np.flatnonzero((cell >= 0) & (cell < self.cells))
                for block in raw.blocks(_BLOCK_FRAMES, entries):
                    planes = block.images["data"].reshape(block.frames, 2, -1)
                    signal, gain = (np.ascontiguousarray(planes[:, p]) for p in (SIGNAL_PLANE, GAIN_PLANE))
                    use(signal, gain, cell[block.entries])

    def sums(self) -> tuple[DarkSums, DarkSums]:
        """Of the signal and of the gain plane."""
        of_signal, of_gain = (DarkSums.zeros(self.cells, self._pixels) for _ in range(2))

        def add(signal: np.ndarray, gain: np.ndarray, cell: np.ndarray) -> None:
            of_signal.accumulate(signal, _lost(signal), cell, _RIGHT)
            of_gain.accumulate(gain, _lost(gain), cell, _RIGHT)

        self.each(add)
        return of_signal, of_gain

    def median(self) -> np.ndarray:
        """Of the signal: f8 (cell, pixel), exact."""
        found = StreamingMedian(self.cells, self._pixels)
        self.each(lambda signal, _, cell: found.count_coarse(signal, _lost(signal), cell, _RIGHT))
        found.refine()
        self.each(lambda signal, _, cell: found.count_fine(signal, _lost(signal), cell, _RIGHT))
        return found.median()

    @property
    def _pixels(self) -> int:
        return int(np.prod(self.detector.module_shape))


def _lost(adc: np.ndarray) -> np.ndarray:
    """u1, not _RIGHT where a sample is of a lost frame: the codes that dark sums ask for."""
    return (adc == 0).view(np.uint8)


def _mean_and_noise(sums: DarkSums) -> tuple[np.ndarray, np.ndarray]:
    mean, std = sums.mean_and_std()
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.sqrt(sums.count / (sums.count.astype(np.float64) - 1.0))
    return mean, np.where(sums.count > 1, std * factor, np.nan)


def _refuse_other_order(darks: AgipdDarks, files: dict[str, Sequence[str]]) -> None:
    with np.errstate(invalid="ignore"):
        medians = [float(np.nanmedian(darks.level[:, s])) for s in range(darks.level.shape[1])]
    if any(b <= a for a, b in pairwise(medians)):
        listed = ", ".join(f"{stage}: {median:.0f} ADU" for stage, median in zip(files, medians, strict=True))
        raise BadInput(
            next(iter(files.values()))[0],
            f"the gain plane does not rise from stage to stage ({listed}); "
            "were the dark runs given in another order than high, medium, low gain?",
        )


def thresholds_of(darks: AgipdDarks) -> np.ndarray:
    """ThresholdsDark, f8 (cell, 5, slow_scan, fast_scan): half way between the levels of
    successive stages; then the levels themselves [ADU]."""
    level = darks.level.astype(np.float64)
    return np.concatenate([(level[:, :-1] + level[:, 1:]) / 2, level], axis=1)


def gain_separation_errors(darks: AgipdDarks, sigmas: float = 5.0) -> np.ndarray:
    """GAIN_THRESHOLDING_ERROR where two levels are too near: u4 (cell, gain, slow_scan, fast_scan).

    Two successive levels must differ, upwards, by `sigmas` times the square
    root of the sum of their variances. Where high and medium gain can't be told
    apart no sample's stage is known; else only those two that can't.
    """
    level, variance = darks.level.astype(np.float64), darks.spread.astype(np.float64) ** 2
    with np.errstate(invalid="ignore"):
        apart = level[:, 1:] - level[:, :-1] >= sigmas * np.sqrt(variance[:, 1:] + variance[:, :-1])
    words = np.zeros(level.shape, np.uint32)
    words[~np.broadcast_to(apart[:, :1], level.shape)] = BadPixels.GAIN_THRESHOLDING_ERROR
    for pair in range(1, apart.shape[1]):
        for stage in (pair, pair + 1):
            words[:, stage][~apart[:, pair]] |= np.uint32(BadPixels.GAIN_THRESHOLDING_ERROR)
    return words


def agipd_dark_constants(
    darks: AgipdDarks, limits: DarkLimits | None = None, gain_sigma: float = 5.0
) -> dict[str, np.ndarray]:
    """{calibration: (cell, gain, slow_scan, fast_scan)} of Offset, Noise, ThresholdsDark, BadPixelsDark."""
    bad = bad_pixels_of_darks(
        darks.offset, darks.noise, darks.count, np.zeros_like(darks.count), darks.saturated, limits or _LIMITS
    )
    return {
        "Offset": darks.offset,
        "Noise": darks.noise,
        "ThresholdsDark": thresholds_of(darks),
        "BadPixelsDark": bad | gain_separation_errors(darks, gain_sigma),
    }
