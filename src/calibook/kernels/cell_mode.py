"""What pixels are off by in a row of memory cells, from all frames of a file.

European XFEL's common mode has two halves: of chips, frame by frame, and of
rows of 32 memory cells, pixel by pixel. The second one is a slow change of the
offset since the darks. It is known only after all frames were seen, and then is
a change of the offset. So it takes a pass over the file before the one that
corrects:

    sums = CellSums.zeros(cells, shape)
    for block: sums.add(data, gain, mask, cell)     # offset-subtracted, chips' common mode taken out
    offset[c, high] += sums.offsets(...)[row of c]

Sums are whole numbers of 1/256 ADU: neither order nor threads change them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels import bits
from calibook.kernels.checks import check_array

CELLS_PER_ROW = 32
STEPS = 256
MAX_WINDOW = 1000.0

_REACH = np.float32(1 << 15)


@dataclass(frozen=True)
class CellSums:
    """Number and sum of dark samples of each pixel in each row of memory cells.

    count: i8 (row of cells, slow_scan, fast_scan)
    total: i8, same shape, 1/256 ADU
    """

    count: np.ndarray
    total: np.ndarray

    @classmethod
    def zeros(cls, cells: int, shape: tuple[int, int]) -> CellSums:
        """Of no frames. cells: of the detector; shape: (slow_scan, fast_scan)."""
        rows = -(-cells // CELLS_PER_ROW)
        return cls(np.zeros((rows, *shape), np.int64), np.zeros((rows, *shape), np.int64))

    def add(
        self,
        data: np.ndarray,
        gain: np.ndarray,
        mask: np.ndarray,
        cell: np.ndarray,
        dark_range: tuple[float, float] = (-30.0, 30.0),
        lit: float = 24.0,
        excluded: int = bits.ALL,
    ) -> None:
        """Add frames.

        data, gain, mask: f4 ADU, u1, u4 (frame, slow_scan, fast_scan), offset-subtracted
        cell: integers (frame,), memory cells; those that were not announced are left out
        dark_range: (low, high), signals of pixels in high gain that count as dark, ends included [ADU]
        lit: a dark pixel counts only if none of its eight neighbours shows so much, or is in
            another stage: they share charge with it. Infinite as European XFEL does it [ADU]
        excluded: pixels with one of these bits neither count nor are lit

        Raises BadParameter for an impossible range.
        """
        shape = data.shape
        if data.ndim != 3 or shape[1:] != self.count.shape[1:] or np.shape(cell) != shape[:1]:
            raise ValueError(
                f"frames {shape} of cells {np.shape(cell)}, needs (frame, {self.count.shape[1:]})"
            )
        check_array("data", data, "f4", shape)
        check_array("gain", gain, "u1", shape)
        check_array("mask", mask, "u4", shape)
        low, high = dark_range
        if not -MAX_WINDOW <= low < high <= MAX_WINDOW or not lit > 0:
            raise BadParameter(
                f"dark range is {low} to {high} ADU, lit from {lit}: needs the low end below the high one, "
                f"both within +-{MAX_WINDOW:.0f}, and a number above 0"
            )
        window = np.int32(np.ceil(low * STEPS)), np.int32(np.floor(high * STEPS))
        rows = np.asarray(cell, np.int64) // CELLS_PER_ROW
        rows[(rows < 0) | (rows >= len(self.count))] = -1
        _add(data, gain, mask, rows, *window, np.float32(lit), np.uint32(excluded), self.count, self.total)

    def merge(self, other: CellSums) -> None:
        """Add what another has seen."""
        self.count[:] += other.count
        self.total[:] += other.total

    def offsets(self, frames: np.ndarray, fraction: float = 0.15) -> np.ndarray:
        """Mean of the dark samples: f4 (row of cells, slow_scan, fast_scan), ADU; 0 where there are too few.

        frames: integers (row of cells,), frames of the file in these cells
        fraction: share of them in which a pixel must have been dark
        """
        if not 0 <= fraction <= 1:
            raise BadParameter(f"fraction of dark samples is {fraction}, needs 0 to 1")
        enough = self.count >= np.maximum(fraction * np.asarray(frames), 1)[:, None, None]
        mean = self.total / np.maximum(self.count, 1) / STEPS
        return np.where(enough, mean, 0.0).astype(np.float32)


def frames_of_rows(cell: np.ndarray, cells: int) -> np.ndarray:
    """Number of frames in each row of memory cells, i8 (row of cells,)."""
    cell = np.asarray(cell, np.int64)
    known = cell[(cell >= 0) & (cell < cells)]
    return np.bincount(known // CELLS_PER_ROW, minlength=-(-cells // CELLS_PER_ROW))


@njit(nogil=True, cache=True)
def _add(data, gain, mask, rows, low, high, lit, excluded, count, total):
    slow, fast = data.shape[1:]
    # A rim of dark pixels.
    near = np.zeros((slow + 2, fast + 2), np.uint8)
    for n in range(data.shape[0]):
        if rows[n] < 0:
            continue
        for i in range(slow):
            _lit(data[n, i], gain[n, i], mask[n, i], lit, excluded, near[i + 1, 1:-1])
        for i in range(slow):
            _add_row(
                data[n, i], gain[n, i], mask[n, i], near[i], near[i + 1], near[i + 2], low, high, excluded,
                count[rows[n], i], total[rows[n], i],
            )  # fmt: skip


@njit(nogil=True, cache=True)
def _lit(x, g, m, limit, excluded, near):
    for i in range(x.size):
        near[i] = ((m[i] & excluded) == 0) & ((g[i] > 0) | (x[i] >= limit)) & (limit < np.inf)


@njit(nogil=True, cache=True)
def _add_row(x, g, m, above, here, below, low, high, excluded, count, total):
    for i in range(x.size):
        used = (g[i] == 0) & ((m[i] & excluded) == 0) & (np.abs(x[i]) < _REACH)
        value = x[i] if used else np.float32(0)
        step = np.int32(np.rint(value * np.float32(STEPS)))
        around = above[i] | above[i + 1] | above[i + 2] | here[i] | here[i + 2]
        around |= below[i] | below[i + 1] | below[i + 2]
        inside = used & (step >= low) & (step <= high) & (around == 0)
        count[i] += np.int64(inside)
        total[i] += np.int64(step) if inside else np.int64(0)
