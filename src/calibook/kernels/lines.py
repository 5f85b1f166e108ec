"""Straight lines through the gain stages of a scan, from sums that need no storage.

A known charge is injected in growing steps x, and each pixel answers with a
line of high gain, a jump, and a line of medium gain. The gain plane tells which
sample is of which; what is near the jump is left out. All numbers are whole, so
sums are exact and may be added up in any order.

Two passes: `StageCounts` finds the jump, `LineSums` sums within windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.kernels.analogue_gain import ADC_MAX
from calibook.kernels.cells import TILE, frames_by_cell
from calibook.kernels.checks import check_array

HIGH, MEDIUM = 0, 1
MAX_STEP = 4095
"""Largest x: squares of sums over as many samples then stay below 2^63."""


@dataclass(frozen=True)
class StageCounts:
    """Samples of each gain stage: u4 (cell, 2, pixel), high and medium.

    In a scan from small to large charges the first so many steps are high gain,
    the next so many medium gain; single false stages move that by single steps.
    """

    counts: np.ndarray

    @classmethod
    def zeros(cls, cells: int, pixels: int) -> StageCounts:
        return cls(np.zeros((cells, 2, pixels), np.uint32))

    def add(self, raw: np.ndarray, cell: np.ndarray, threshold: np.ndarray, scanned: np.ndarray) -> None:
        """Count frames.

        raw: u2 (frame, 2, pixel), signal and gain plane
        cell: integers (frame,)
        threshold: u2 (cell, 2, pixel), as of `pack_thresholds`
        scanned: bool (pixel,), those that get charge in these frames
        """
        order, first = _checked(raw, cell, threshold, self.counts)
        _count(raw, order, first, threshold, scanned.astype(np.uint8), self.counts)

    def windows(self, steps: list[np.ndarray], before: int, after: int) -> np.ndarray:
        """Where each line is: u2 (cell, 2 lines, 2, pixel), first step and the one after the last.

        steps: of each cell, the steps x that were scanned, sorted
        before: steps to leave out before a jump
        after: steps to leave out behind the first, where the medium line is bent
        """
        cells, _, pixels = self.counts.shape
        result = np.zeros((cells, 2, 2, pixels), np.uint16)
        for c in range(cells):
            # One past the scan's end is where a stage ends that is not left.
            ends = np.append(steps[c], steps[c][-1] + 1 + before if len(steps[c]) else 0).astype(np.int64)
            high = ends[np.minimum(self.counts[c, HIGH], len(ends) - 1)]
            medium = ends[np.minimum(self.counts[c].sum(axis=0), len(ends) - 1)]
            result[c, HIGH, 0] = ends[0]
            result[c, HIGH, 1] = np.maximum(high - before, 0)
            result[c, MEDIUM, 0] = np.minimum(high + after, 0xFFFF)
            result[c, MEDIUM, 1] = np.maximum(medium - before, 0)
        return result


@dataclass(frozen=True)
class Lines:
    """y = slope * x + intercept; f8 arrays (cell, 2 lines, pixel), NaN with too few points.

    slope_error, intercept_error: standard deviations, from the scatter round the line
    deviation: root mean square of that scatter, from n - 2 degrees of freedom [ADU]
    points: u4
    """

    slope: np.ndarray
    intercept: np.ndarray
    slope_error: np.ndarray
    intercept_error: np.ndarray
    deviation: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class LineSums:
    """Sums over the samples of a line: i8 (cell, 2 lines, 6, pixel), of 1, x, x x, y, x y, y y."""

    sums: np.ndarray

    @classmethod
    def zeros(cls, cells: int, pixels: int) -> LineSums:
        return cls(np.zeros((cells, 2, 6, pixels), np.int64))

    def add(
        self, raw: np.ndarray, cell: np.ndarray, steps: np.ndarray, threshold: np.ndarray, windows: np.ndarray
    ) -> None:
        """Add samples that are in their line's window and show its gain stage.

        steps: integers (frame,), x of each frame, at most MAX_STEP
        windows: u2 (cell, 2, 2, pixel), as of `StageCounts.windows`
        All else as in `StageCounts.add`. Samples at either end of the ADC's range don't count.
        """
        order, first = _checked(raw, cell, threshold, self.sums)
        check_array("windows", windows, "u2", (len(self.sums), 2, 2, raw.shape[2]))
        steps = np.asarray(steps, np.int64)
        if steps.shape != raw.shape[:1] or (steps.size and not 0 <= steps.min() <= steps.max() <= MAX_STEP):
            raise ValueError(f"steps must be one per frame, from 0 to {MAX_STEP}")
        _sum(raw, order, first, steps, threshold, windows, self.sums)

    def merge(self, other: LineSums) -> LineSums:
        """The sums over both sets of frames."""
        return LineSums(self.sums + other.sums)

    def fit(self, min_points: int = 5) -> Lines:
        """Least squares in closed form; lines of fewer points, or of one step only, are NaN."""
        n, x, xx, y, xy, yy = (self.sums[:, :, i] for i in range(6))
        # Differences of whole numbers: exact, where floats would cancel.
        spread, common, scatter = n * xx - x * x, n * xy - x * y, n * yy - y * y
        usable = (n >= max(min_points, 3)) & (spread > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread_f = np.where(usable, spread, np.nan)
            slope = common / spread_f
            intercept = (y - slope * x) / n
            left = np.maximum(scatter - slope * common, 0.0) / n
            variance = left / (n - 2)
            slope_error = np.sqrt(variance * n / spread_f)
            intercept_error = np.sqrt(variance * xx / spread_f)
        return Lines(slope, intercept, slope_error, intercept_error, np.sqrt(variance), n.astype(np.uint32))


def _checked(raw, cell, threshold, result) -> tuple[np.ndarray, np.ndarray]:
    pixels = result.shape[-1]
    check_array("raw", raw, "u2", (len(raw), 2, pixels))
    check_array("threshold", threshold, "u2", (len(result), 2, pixels))
    if np.shape(cell) != raw.shape[:1]:
        raise ValueError(f"cell has shape {np.shape(cell)}, needs {raw.shape[:1]}: one index per frame")
    return frames_by_cell(cell, len(result))[:2]


@njit(nogil=True, cache=True)
def _count(raw, order, first, threshold, scanned, counts):
    pixels = raw.shape[2]
    for c in range(first.size - 1):
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _count_line(
                    raw[n, 0, a:b], raw[n, 1, a:b], threshold[c, 0, a:b], threshold[c, 1, a:b], scanned[a:b],
                    counts[c, 0, a:b], counts[c, 1, a:b],
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _count_line(adc, level, t0, t1, scanned, high, medium):
    for i in range(adc.size):
        used = (scanned[i] != 0) & (adc[i] != 0)
        above = level[i] > t0[i]
        high[i] += np.uint32(used & ~above)
        medium[i] += np.uint32(used & above & (level[i] <= t1[i]))


@njit(nogil=True, cache=True)
def _sum(raw, order, first, steps, threshold, windows, sums):
    pixels = raw.shape[2]
    for c in range(first.size - 1):
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1]):
                n = order[k]
                for line in range(2):
                    s, w = sums[c, line], windows[c, line]
                    _sum_line(
                        raw[n, 0, a:b], raw[n, 1, a:b], threshold[c, 0, a:b], threshold[c, 1, a:b],
                        line == MEDIUM, steps[n], w[0, a:b], w[1, a:b],
                        s[0, a:b], s[1, a:b], s[2, a:b], s[3, a:b], s[4, a:b], s[5, a:b],
                    )  # fmt: skip


@njit(nogil=True, cache=True)
def _sum_line(adc, level, t0, t1, medium, x, start, stop, ones, sx, sxx, sy, sxy, syy):
    for i in range(adc.size):
        switched = level[i] > t0[i]
        stage = (switched & (level[i] <= t1[i])) if medium else not switched
        inside = stage & (x >= start[i]) & (x < stop[i]) & (adc[i] != 0) & (adc[i] < ADC_MAX)
        one = np.int64(inside)
        y = np.int64(adc[i]) * one
        ones[i] += one
        sx[i] += x * one
        sxx[i] += x * x * one
        sy[i] += y
        sxy[i] += x * y
        syy[i] += y * y
