"""Lines of an AGIPD module's pixels, from raw runs of a scan of the pulsed capacitor.

One run pulses every eighth row, train n with n pulses; eight runs cover all
rows. A thread takes one memory cell after the other: each frame is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from math import prod

import numpy as np

from calibook.calibration.agipd.pc import ScanLimits, ratio_error, scan_constants
from calibook.calibration.agipd.slopes import slope_ratio
from calibook.calibration.planning.resources import threads_within
from calibook.calibration.workers import worker_threads
from calibook.detectors.agipd import SLOPES_PC
from calibook.detectors.base import Detector
from calibook.errors import BadInput, BadParameter
from calibook.kernels.analogue_packing import pack_thresholds
from calibook.kernels.hooks import HookedLines, fit_hooked_lines
from calibook.kernels.lines import MAX_STEP, MEDIUM, Lines, LineSums, StageCounts
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import RawModuleFile, open_raw

ROWS_APART = 8
_BLOCK_FRAMES = 16
# Of a pixel: lines, hooks, and the sums they are from.
_LINES_BYTES = (6 * 2 + 3) * 8 * 2
_HOOK_SIGMAS = 5.0, 3.0
"""A hook counts from so many standard deviations of its amplitude and its decay on."""


@dataclass(frozen=True)
class ScanOptions:
    """How lines are fitted.

    before: pulses to leave out before a jump
    after: pulses to leave out behind the jump to medium gain, where the line is bent; only of
        pixels whose hook is not fitted
    min_points: fewest points of a line
    hook: fit the bent start of the medium line, where there is one
    """

    before: int = 10
    after: int = 150
    min_points: int = 20
    hook: bool = True


@dataclass(frozen=True)
class ScannedLines:
    """Of all pixels in one memory cell.

    lines: arrays (1, 2 lines, slow_scan, fast_scan)
    hook: f8 (1, 3, slow_scan, fast_scan): amplitude [ADU], start and decay [pulses] of the bent start
        of the medium line; 0 where it has none
    """

    lines: Lines
    hook: np.ndarray


@dataclass(frozen=True)
class ModuleScan:
    """What a scan tells of a module.

    slopes: f4 (cell, quantity, slow_scan, fast_scan), SlopesPC
    bad: u4 (cell, slow_scan, fast_scan), BadPixelsPC
    ratio_error: f4 (cell, slow_scan, fast_scan), standard deviation of the ratio of high to medium slope
    points: u2 (cell, 2, slow_scan, fast_scan), points of the high and the medium line
    """

    slopes: np.ndarray
    bad: np.ndarray
    ratio_error: np.ndarray
    points: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """f4 (cell, slow_scan, fast_scan), high over medium slope; NaN without lines."""
        return slope_ratio(self.slopes)


def characterise_scan(
    detector: Detector,
    task: Task,
    thresholds: np.ndarray,
    options: ScanOptions | None = None,
    limits: ScanLimits | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ModuleScan:
    """Lines of high and medium gain of all pixels of a module.

    task: with about["files"], {first pulsed row: paths of the run}, and about["conditions"]
    thresholds: ThresholdsDark (cell, 2 or more, slow_scan, fast_scan)
    threads: each takes one memory cell after the other; None for `worker_threads()`
    progress: called with (memory cells done, memory cells in all)

    Each frame is read once; of those of a memory cell the pulsed rows are kept
    until their lines are fitted. Raises BadInput if a file can't be used,
    BadParameter for rows that overlap.
    """
    options, threads = options or ScanOptions(), threads or worker_threads()
    cells, shape = int(task.about["conditions"]["Memory cells"]), detector.module_shape
    if len(thresholds) != cells:
        raise BadParameter(f"thresholds are for {len(thresholds)} memory cells, the scan has {cells}")
    threshold = pack_thresholds(thresholds).reshape(cells, 2, *shape)
    del thresholds
    result = ModuleScan(
        np.empty((cells, len(SLOPES_PC), *shape), np.float32), np.empty((cells, *shape), np.uint32),
        np.empty((cells, *shape), np.float32), np.empty((cells, 2, *shape), np.uint16),
    )  # fmt: skip
    done: list[int] = []

    def of_cell(runs: Sequence[PulsedRun], cell: int) -> None:
        found = _lines(runs, cell, threshold[cell], options)
        lines, constants = found.lines, scan_constants(found.lines, limits, found.hook)
        result.slopes[cell], result.bad[cell] = constants["SlopesPC"][0], constants["BadPixelsPC"][0]
        result.ratio_error[cell], result.points[cell] = ratio_error(lines)[0], lines.points[0]
        done.append(cell)
        if progress:
            progress(len(done), cells)

    with open_scan(detector, task) as runs:
        # Pulsed rows of a memory cell's frames, twice while they are put together.
        frames = max(sum(raw.n_trains for raw in run.raws) for run in runs)
        each = prod(shape) * (frames * 2 * 2 * 2 // ROWS_APART + _LINES_BYTES + _BLOCK_FRAMES * 2 * 2)
        with ThreadPoolExecutor(threads_within(threads, each), "scan") as pool:
            list(pool.map(partial(of_cell, runs), range(cells)))
    return result


@dataclass(frozen=True)
class PulsedRun:
    """One run of a scan.

    raws: its files, open
    rows: bool (slow_scan,), those that are pulsed
    first_train: train ID of the run's first train, in which nothing is injected
    """

    raws: Sequence[RawModuleFile]
    rows: np.ndarray
    first_train: int

    def of_cell(self, cell: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames of a memory cell, of the pulsed rows alone: raw u2 (frame, 2, pixel), pulses i8 (frame,)."""
        planes, pulses = [], []
        for raw in self.raws:
            entries = np.flatnonzero(raw.ids(raw.detector.cell_key) == cell)
            parts = raw.parts(_BLOCK_FRAMES, entries)
            buffers = raw.new_buffers(min(_BLOCK_FRAMES, len(entries))) if parts else {}
            for part in parts:
                images = raw.read(part, buffers).images["data"]
                planes.append(images.reshape(len(part), 2, *raw.image_shape)[:, :, self.rows])
            pulses.append(np.repeat(raw.train_ids, raw.count)[entries].astype("i8") - self.first_train)
        steps = np.concatenate(pulses)
        if steps.size and steps.max() > MAX_STEP:
            raise BadInput(self.raws[-1].path, f"{steps.max() + 1} trains; a scan has at most {MAX_STEP + 1}")
        pixels = int(self.rows.sum()) * self.raws[0].image_shape[1]
        frames = np.concatenate(planes) if planes else np.zeros((0, 2, 1, pixels), np.uint16)
        return frames.reshape(len(frames), 2, pixels), steps


@contextmanager
def open_scan(detector: Detector, task: Task) -> Iterator[list[PulsedRun]]:
    """The runs of a scan, their files open."""
    rows = _rows_of_runs(task.about["files"], detector.module_shape[0])
    with ExitStack() as stack:
        runs = []
        for row, paths in task.about["files"].items():
            raws = [stack.enter_context(open_raw(path, detector, task.about["karabo_id"])) for path in paths]
            runs.append(PulsedRun(raws, rows[row], min(int(raw.train_ids[0]) for raw in raws)))
        yield runs


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


def _lines(runs: Sequence[PulsedRun], cell: int, threshold: np.ndarray, options: ScanOptions) -> ScannedLines:
    """threshold: u2 (2, slow_scan, fast_scan)"""
    shape = threshold.shape[1:]
    arrays, hook = {item.name: np.empty((1, 2, *shape)) for item in fields(Lines)}, np.zeros((1, 3, *shape))
    for run in runs:
        raw, pulses = run.of_cell(cell)
        limit = np.ascontiguousarray(threshold[None, :, run.rows].reshape(1, 2, -1))
        found = _lines_of_run(raw, pulses, limit, options)
        hook[:, :, run.rows] = found.hook.reshape(1, 3, -1, shape[1])
        for name, array in arrays.items():
            array[:, :, run.rows] = getattr(found.lines, name).reshape(1, 2, -1, shape[1])
    return ScannedLines(Lines(**arrays), hook)


def _lines_of_run(
    raw: np.ndarray, pulses: np.ndarray, threshold: np.ndarray, options: ScanOptions
) -> ScannedLines:
    """Of the pulsed pixels (pixel,) of a run: raw u2 (frame, 2, pixel), threshold u2 (1, 2, pixel)."""
    pixels, one_cell, steps = raw.shape[2], np.zeros(len(raw), np.int64), [np.sort(pulses)]
    counts, sums = StageCounts.zeros(1, pixels), LineSums.zeros(1, pixels)
    counts.add(raw, one_cell, threshold, np.ones(pixels, bool))
    sums.add(raw, one_cell, pulses, threshold, counts.windows(steps, options.before, options.after))
    lines, hook = sums.fit(options.min_points), np.zeros((1, 3, pixels))
    if options.hook:
        window = counts.windows(steps, options.before, 0)[0, MEDIUM]
        bent = fit_hooked_lines(raw, pulses, threshold[0], window, options.min_points)
        _take_hooks(bent, window[0], lines, hook)
    return ScannedLines(lines, hook)


def _take_hooks(bent: HookedLines, start: np.ndarray, lines: Lines, hook: np.ndarray) -> None:
    """Put hooked lines in place of straight ones, where the hook is more than noise."""
    with np.errstate(invalid="ignore"):
        counts = np.abs(bent.amplitude) > _HOOK_SIGMAS[0] * bent.amplitude_error
        counts &= bent.decay > _HOOK_SIGMAS[1] * bent.decay_error
    for item in fields(Lines):
        getattr(lines, item.name)[0, MEDIUM, counts] = getattr(bent, item.name)[counts]
    hook[0, :, counts] = np.stack([bent.amplitude, start, bent.decay], axis=1)[counts]
