"""Gains of high and medium gain from scans of the pulsed capacitor.

One run pulses every eighth row, train n with n pulses; eight runs cover all
rows. How much charge a pulse holds is not known well, so that only the ratio
of the slopes tells anything: what one stage's ADU is in the other's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibook.detectors.agipd import MEDIUM_TO_LOW_RATIO, SLOPES_PC
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.errors import BadInput, BadParameter
from calibook.kernels.analogue_packing import pack_thresholds
from calibook.kernels.lines import HIGH, MAX_STEP, MEDIUM, Lines, LineSums, StageCounts
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import open_raw

ROWS_APART = 8
_BLOCK_FRAMES = 128
_CELLS_AT_A_TIME = 8


@dataclass(frozen=True)
class ScanOptions:
    """How lines are fitted.

    before: pulses to leave out before a jump
    after: pulses to leave out behind the jump to medium gain, where the line is bent
    min_points: fewest points of a line
    """

    before: int = 10
    after: int = 150
    min_points: int = 20


@dataclass(frozen=True)
class ScanLimits:
    """What a good pixel's lines look like.

    ratio: (low, high) of high over medium slope
    ratio_sigma: how many sigma it may lie from the median over the module's
        pixels, same cell; sigma is 1.4826 times the median absolute deviation
    slope: (low, high) of the high slope over that median
    deviation: largest scatter round a line, ADU
    """

    ratio: tuple[float, float] = (20.0, 60.0)
    ratio_sigma: float = 6.0
    slope: tuple[float, float] = (0.5, 2.0)
    deviation: float = 30.0


def characterise_scan(
    detector: Detector,
    task: Task,
    thresholds: np.ndarray,
    options: ScanOptions | None = None,
    cells_at_a_time: int = _CELLS_AT_A_TIME,
) -> Lines:
    """Lines of a module: arrays (cell, 2, slow_scan, fast_scan), high and medium gain.

    task: with about["files"], {first pulsed row: paths of the run}, and about["conditions"]
    thresholds: ThresholdsDark (cell, 2 or more, slow_scan, fast_scan)

    Frames are read twice, those of `cells_at_a_time` cells at a time.
    Raises BadInput if a file can't be used, BadParameter for rows that overlap.
    """
    options = options or ScanOptions()
    cells, pixels = int(task.about["conditions"]["Memory cells"]), int(np.prod(detector.module_shape))
    if len(thresholds) != cells:
        raise BadParameter(f"thresholds are for {len(thresholds)} memory cells, the scan has {cells}")
    rows = _rows_of_runs(task.about["files"], detector.module_shape[0])
    parts = []
    for start in range(0, cells, cells_at_a_time):
        some = np.arange(start, min(start + cells_at_a_time, cells))
        threshold, sums = pack_thresholds(thresholds[some]), LineSums.zeros(len(some), pixels)
        for row, paths in task.about["files"].items():
            scanned = np.repeat(rows[row], detector.module_shape[1])
            _add_run(_Run(detector, task.about["karabo_id"], paths, some), threshold, scanned, options, sums)
        parts.append(sums.fit(options.min_points))
    shape = (cells, 2, *detector.module_shape)
    return Lines(*(np.concatenate([getattr(p, name) for p in parts]).reshape(shape) for name in _FIELDS))


_FIELDS = ("slope", "intercept", "slope_error", "intercept_error", "deviation", "points")


@dataclass(frozen=True)
class _Run:
    """One run of a scan, seen in some memory cells."""

    detector: Detector
    karabo_id: str
    files: Sequence[str]
    cells: np.ndarray

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(raw u2 (frame, 2, pixel), index of the cell, pulses), block by block."""
        first = self._first_train()
        for path in self.files:
            with open_raw(path, self.detector, self.karabo_id) as raw:
                cell = raw.ids(self.detector.cell_key).astype("i8") - self.cells[0]
                pulses = np.repeat(raw.train_ids, raw.count).astype("i8") - first
                if pulses.max() > MAX_STEP:
                    raise BadInput(path, f"{pulses.max() + 1} trains; a scan has at most {MAX_STEP + 1}")
                entries = np.flatnonzero((cell >= 0) & (cell < len(self.cells)))
                for block in raw.blocks(_BLOCK_FRAMES, entries):
                    planes = block.images["data"].reshape(block.frames, 2, -1)
                    yield planes, cell[block.entries], pulses[block.entries]

    def _first_train(self) -> int:
        first = []
        for path in self.files:
            with open_raw(path, self.detector, self.karabo_id) as raw:
                first.append(int(raw.train_ids[0]))
        return min(first)


def _rows_of_runs(files: Mapping[str, Sequence[str]], slow_scan: int) -> dict[str, np.ndarray]:
    """{first pulsed row: bool (slow_scan,)}"""
    rows = {row: np.arange(slow_scan) % ROWS_APART == int(row) for row in files}
    covered = np.sum(list(rows.values()), axis=0)
    if not (covered == 1).all():
        raise BadParameter(
            f"runs pulse rows {', '.join(files)} and every {ROWS_APART}th from there: needs each of "
            f"0 to {ROWS_APART - 1} once"
        )
    return rows


def _add_run(
    run: _Run, threshold: np.ndarray, scanned: np.ndarray, options: ScanOptions, sums: LineSums
) -> None:
    counts, steps = StageCounts.zeros(len(run.cells), len(scanned)), [[] for _ in run.cells]  # type: ignore[var-annotated]
    for raw, cell, pulses in run.frames():
        counts.add(raw, cell, threshold, scanned)
        for c in np.unique(cell):
            steps[c].append(pulses[cell == c])
    found = [np.sort(np.concatenate(s)) if s else np.zeros(0, "i8") for s in steps]
    windows = counts.windows(found, options.before, options.after)
    windows[..., ~scanned] = 0
    for raw, cell, pulses in run.frames():
        sums.add(raw, cell, pulses, threshold, windows)


def scan_constants(lines: Lines, limits: ScanLimits | None = None) -> dict[str, np.ndarray]:
    """SlopesPC (cell, 9 quantities, slow_scan, fast_scan) and BadPixelsPC (cell, slow_scan, fast_scan).

    CI_EVAL_ERROR: no line. CI_GAIN_OF_OF_THRESHOLD: high slope or ratio of slopes
    out of limits. CI_LINEAR_DEVIATION: too much scatter round a line.
    The bent start of the medium line is left out of the fit: its quantities are 0.
    """
    limits = limits or ScanLimits()
    slope, words = lines.slope, np.zeros(lines.slope[:, 0].shape, np.uint32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = slope[:, HIGH] / slope[:, MEDIUM]
    known = np.isfinite(ratio)
    words[~known] |= np.uint32(BadPixels.CI_EVAL_ERROR)
    out = ~_within(ratio, *limits.ratio) | ~_within(slope[:, HIGH] / _median(slope[:, HIGH]), *limits.slope)
    distance = np.abs(ratio - _median(np.where(out, np.nan, ratio)))
    sigma = 1.4826 * _median(np.where(out, np.nan, distance))
    out |= ~(distance <= limits.ratio_sigma * sigma)
    words[known & out] |= np.uint32(BadPixels.CI_GAIN_OF_OF_THRESHOLD)
    scattered = (lines.deviation > limits.deviation).any(axis=1)
    words[known & scattered] |= np.uint32(BadPixels.CI_LINEAR_DEVIATION)
    nothing = np.zeros_like(ratio)
    quantities = dict.fromkeys(SLOPES_PC, nothing) | {
        f"{name} {what}": getattr(lines, field)[:, line]
        for line, name in ((HIGH, "high"), (MEDIUM, "medium"))
        for what, field in (("slope", "slope"), ("intercept", "intercept"), ("deviation", "deviation"))
    }
    return {"SlopesPC": np.stack([quantities[name] for name in SLOPES_PC], axis=1), "BadPixelsPC": words}


def relative_gains(slopes_pc: np.ndarray) -> np.ndarray:
    """What brings each stage onto the scale of high gain: f8 (cell, 3, slow_scan, fast_scan).

    1, slope of high over that of medium gain, and 4.48 times that for low gain,
    which the scan does not reach. Pixels without lines take the median of their cell.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = slopes_pc[:, _at("high slope")] / slopes_pc[:, _at("medium slope")].astype("f8")
    ratio = np.where(np.isfinite(ratio), ratio, _median(ratio))
    return np.stack([np.ones_like(ratio), ratio, ratio * MEDIUM_TO_LOW_RATIO], axis=1)


def medium_shift(slopes_pc: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """ADU of medium gain by which its line is moved to meet that of high gain: f8 (cell, 1, slow, fast).

    offset: dark signal (cell, 3, slow_scan, fast_scan), of forced stages: that of
        medium gain differs from where the line of a pixel that switched by
        itself starts. With intercepts b beyond the offsets and slopes s,

            shift = b_high * s_medium / s_high - b_medium

    0 where there is no line.
    """
    high, medium = (
        slopes_pc[:, _at(f"{name} intercept")] - offset[:, i] for i, name in ((0, "high"), (1, "medium"))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (
            high * slopes_pc[:, _at("medium slope")].astype("f8") / slopes_pc[:, _at("high slope")] - medium
        )
    return np.where(np.isfinite(shift), shift, 0.0)[:, None]


def _at(quantity: str) -> int:
    return SLOPES_PC.index(quantity)


def _median(values: np.ndarray) -> np.ndarray:
    """Over the finite pixels of each cell: (cell, 1, 1); NaN where there is none."""
    result = np.full((len(values), 1, 1), np.nan)
    for cell, of_cell in enumerate(values):
        chosen = of_cell[np.isfinite(of_cell)]
        if chosen.size:
            result[cell] = np.median(chosen)
    return result


def _within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (values >= low) & (values <= high)
