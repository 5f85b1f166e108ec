"""What a file of AGIPD frames is like, beyond the tally: its shifts, cells and chips, and its raw planes.

All that needs another look at pixels is taken from the frames of some trains,
spread over the file, which are the same ones whatever the threads do.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np

from calibook.calibration.agipd.correct import Shifts
from calibook.calibration.tally import spread_evenly
from calibook.detectors.agipd import ASIC_SHAPE, SIGNAL_PLANE
from calibook.detectors.bad_pixels import INFORMATIONAL
from calibook.kernels.bits import ALL
from calibook.kernels.frame_samples import PLANE_BINS, add_planes, chip_sums
from calibook.runs.raw_file import Block, RawModuleFile

SAMPLED_TRAINS = 8
_CLOSELY = 1 << 23
"""Samples, about, of their frames whose raw planes are counted: a picture shows no more."""
KEPT_FRAMES = 2048
"""Frames whose shifts are kept chip by chip."""
_EXCLUDED = int(ALL) & ~int(INFORMATIONAL)


class AgipdSamples:
    """Collects it from blocks of corrected frames, in any order, from any thread."""

    def __init__(self, raw: RawModuleFile):
        self._shape = raw.image_shape
        self._chips = tuple(n // size for n, size in zip(self._shape, ASIC_SHAPE, strict=True))
        self._cell = raw.ids(raw.detector.cell_key)
        self._pulse = raw.ids("pulseId")
        self._train = np.repeat(np.arange(raw.n_trains), raw.count)
        self._count, frames = raw.count, raw.n_frames
        step = max(1, raw.n_trains // SAMPLED_TRAINS)
        self._sampled = self._train % step == 0
        self._baseline = np.zeros(frames, np.float32)
        self._shift = np.zeros((frames, *self._chips), np.float32)
        sampled = int(self._sampled.sum())
        self._place = np.cumsum(self._sampled) - 1
        self._sums, self._good = np.zeros((sampled, *self._chips)), np.zeros((sampled, *self._chips), "i8")
        self._stages = np.zeros((sampled, 3), "i8")
        self._planes = np.zeros((PLANE_BINS, PLANE_BINS), "i8")
        self._first = np.zeros(self._shape, np.uint16)
        self._lock = Lock()

    def add(self, block: Block, data: np.ndarray, gain: np.ndarray, mask: np.ndarray, shifts: Shifts) -> None:
        """A block whose frames are corrected: f4, u1, u4, each (frame, pixel)."""
        entries, raw = block.entries, block.images["data"].reshape(block.frames, 2, -1)
        self._baseline[entries], self._shift[entries] = shifts.baseline, shifts.chips
        for n in np.flatnonzero(entries == 0):
            self._first[:] = raw[n, SIGNAL_PLANE].reshape(self._shape)
        some = np.flatnonzero(self._sampled[entries])
        if not len(some):
            return
        x, g, m = (array.reshape(-1, *self._shape) for array in (data, gain, mask))
        place = self._place[entries[some]]
        found = chip_sums(x, g, m, ASIC_SHAPE, _EXCLUDED, some)
        self._sums[place], self._good[place], self._stages[place] = found
        close = spread_evenly(entries[some], _CLOSELY / (len(self._sums) * raw.shape[2]))
        planes = np.zeros_like(self._planes)
        add_planes(raw, planes, some[close])
        with self._lock:
            self._planes += planes

    def results(self) -> dict[str, Any]:
        """What was collected, by name.

        cells: u2 (frame,), pulses: u8 (frame,), baseline: f4 (frame,) [ADU]
        frames_of_trains: i8 (train,)
        chip_shifts: f4 (frame, chips), of the first frames [ADU]
        train_shifts, cell_shifts: f4 (train or cell, chips), mean common mode [ADU]
        cell_ids: i8 (cell,), the memory cells that occur
        chip_signal: f4 (cell, chips), mean of good pixels; chip_bad: f4 (cell, chips),
            share of bad ones; cell_stages: f4 (cell, 3), share of gain stages; of sampled trains
        planes: i8 (gain plane, signal plane), see `kernels.frame_samples`; of some frames of
            sampled trains
        raw_first: u2 (slow_scan, fast_scan), signal plane of the first frame [ADU]
        """
        ids, cell = np.unique(self._cell, return_inverse=True)
        of_sampled = cell[self._sampled]
        pixels = ASIC_SHAPE[0] * ASIC_SHAPE[1]
        sums, good, stages, frames = (
            _by(of_sampled, values, len(ids))
            for values in (self._sums, self._good, self._stages, np.ones(len(of_sampled)))
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            per_frame = frames[:, None, None]
            return {
                "cells": self._cell,
                "pulses": self._pulse,
                "baseline": self._baseline,
                "frames_of_trains": self._count,
                "chip_shifts": self._shift[:KEPT_FRAMES],
                "train_shifts": _mean_by(self._train, self._shift, len(self._count)),
                "cell_shifts": _mean_by(cell, self._shift, len(ids)),
                "cell_ids": ids.astype("i8"),
                "chip_signal": (sums / good).astype("f4"),
                "chip_bad": (1 - good / (pixels * per_frame)).astype("f4"),
                "cell_stages": (stages / stages.sum(axis=1, keepdims=True)).astype("f4"),
                "planes": self._planes,
                "raw_first": self._first,
            }


def _by(group: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    """Sums of values over the frames of each group, in the frames' order: f8 (group, ...)."""
    total = np.zeros((groups, *values.shape[1:]))
    np.add.at(total, group, values)
    return total


def _mean_by(group: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    count = np.bincount(group, minlength=groups).reshape(-1, *(1,) * (values.ndim - 1))
    with np.errstate(invalid="ignore"):
        return (_by(group, values, groups) / count).astype("f4")
