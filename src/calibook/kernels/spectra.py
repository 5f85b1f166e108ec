"""Spectra of single pixels, counted in one pass over any number of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.kernels import bits
from calibook.kernels.cells import frames_by_cell
from calibook.kernels.checks import check_array
from calibook.kernels.lanes import LARGEST

TILE = 512
"""Pixels per tile: their spectra, a kilobyte or two each, stay in a core's L2 cache."""


@dataclass(frozen=True)
class Spectra:
    """Spectra per memory cell and pixel.

    counts: u4 (cell, pixel, bins + 2); bin i covers start + (i - 1) * width up
        to start + i * width, the first and the last are what lies below and above
    start, width: of the bins, in the unit of the data
    """

    counts: np.ndarray
    start: float
    width: float

    @classmethod
    def zeros(cls, cells: int, pixels: int, start: float, end: float, bins: int) -> Spectra:
        if bins < 1 or not start < end:
            raise ValueError(f"{bins} bins from {start} to {end}: needs at least one, and start below end")
        return cls(np.zeros((cells, pixels, bins + 2), np.uint32), start, (end - start) / bins)

    @property
    def centres(self) -> np.ndarray:
        """f8 (bins,), of all but the first and the last."""
        return self.start + (np.arange(self.counts.shape[2] - 2) + 0.5) * self.width

    def add(
        self, data: np.ndarray, gain: np.ndarray, mask: np.ndarray, cell: np.ndarray, excluded: int = bits.ALL
    ) -> int:
        """Count samples of gain stage 0 that are finite and have no excluded bit.

        data, gain, mask: f4, u1, u4 (frame, pixel)
        cell: integers (frame,), index into the first axis of the counts

        Returns how many frames had a cell that isn't there; they are left out.
        """
        cells, pixels = self.counts.shape[:2]
        shape = (len(data), pixels)
        check_array("data", data, "f4", shape)
        check_array("gain", gain, "u1", shape)
        check_array("mask", mask, "u4", shape)
        if np.shape(cell) != shape[:1]:
            raise ValueError(f"cell has shape {np.shape(cell)}, needs {shape[:1]}: one index per frame")
        order, first, outside = frames_by_cell(cell, cells)
        _add(data, gain, mask, order, first, np.uint32(excluded), self.start, 1 / self.width, self.counts)
        return len(outside)

    def merge(self, other: Spectra) -> Spectra:
        """The spectra over both sets of frames; same pixels and bins."""
        if (self.start, self.width, self.counts.shape) != (other.start, other.width, other.counts.shape):
            raise ValueError("spectra of other bins, cells or pixels can't be merged")
        return Spectra(self.counts + other.counts, self.start, self.width)


@njit(nogil=True, cache=True)
def _add(data, gain, mask, order, first, excluded, start, per_width, counts):
    pixels, bins = counts.shape[1:]
    places = np.empty(min(TILE, pixels), np.int32)
    for c in range(first.size - 1):
        for a in range(0, pixels, TILE):
            b = min(a + TILE, pixels)
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _place_line(
                    data[n, a:b], gain[n, a:b], mask[n, a:b], excluded, start, per_width, bins, places
                )
                for p in range(b - a):
                    if places[p] >= 0:
                        counts[c, a + p, places[p]] += np.uint32(1)


@njit(nogil=True, cache=True)
def _place_line(data, gain, mask, excluded, start, per_width, bins, places):
    """The bin of each sample, -1 for those that don't count; no branches, so that it vectorises."""
    for i in range(data.size):
        place = np.floor((np.float64(data[i]) - start) * per_width) + 1.0
        # Limits come before the cast: a float out of an integer's range has no defined value.
        place = place if place > 0.0 else 0.0
        place = place if place < bins - 1.0 else bins - 1.0
        used = (gain[i] == 0) & ((mask[i] & excluded) == 0) & (np.abs(data[i]) <= LARGEST)
        places[i] = np.int32(place) if used else np.int32(-1)
