"""Frames grouped by memory cell, so that a cell's constants are fetched once for many frames."""

from __future__ import annotations

import numpy as np

TILE = 4096
"""Pixels per tile: the constants of a tile (36 bytes a pixel) stay in a core's L2 cache."""
CHUNK = 512
"""Pixels of two frames that are worked on at a time: their results, 9 KB, stay in the L1 cache."""
ROW = np.uint64(CHUNK + 16)
"""From one row to the next. Distances that are powers of two would put all rows into the same few
places of a cache."""
CHUNKS = TILE // CHUNK


def frames_by_cell(cell: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort frames by memory cell.

    cell: integers (frame,), index of each frame's cell
    cells: how many cells there are constants for

    Returns (order, first, outside), all i8: frames of cell c are
    `order[first[c]:first[c + 1]]`, in the order they had; `outside` are the
    frames whose cell is not in 0..cells-1.
    """
    cell = np.asarray(cell, np.int64)
    known = (cell >= 0) & (cell < cells)
    order = np.argsort(np.where(known, cell, cells), kind="stable")
    first = np.zeros(cells + 1, np.int64)
    np.cumsum(np.bincount(cell[known], minlength=cells), out=first[1:])
    return order[: first[-1]], first, order[first[-1] :]
