"""Chips of a module that stand out: dead or noisy as a whole, in all memory cells or in some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from calibook.detectors.base import Detector

_BAD_SHARE = 0.1
"""Share of bad pixels above which a chip stands out in a memory cell."""


def by_chip(maps: np.ndarray, chip_shape: tuple[int, int]) -> np.ndarray:
    """Maps (..., slow_scan, fast_scan) cut into chips: (..., chip, pixel), counted along fast_scan first."""
    (rows, columns), (high, wide) = maps.shape[-2:], chip_shape
    cut = maps.reshape(*maps.shape[:-2], rows // high, high, columns // wide, wide).swapaxes(-2, -3)
    return cut.reshape(*maps.shape[:-2], -1, high * wide)


def bad_share_by_chip(bad: np.ndarray, chip_shape: tuple[int, int]) -> np.ndarray:
    """f4 (cell, gain, chip), share of bad pixels.

    bad: u4 (cell, gain, slow_scan, fast_scan)
    """
    return np.stack([(by_chip(words, chip_shape) != 0).mean(axis=-1, dtype="f4") for words in bad])


def noise_by_chip(noise: np.ndarray, bad: np.ndarray, chip_shape: tuple[int, int]) -> np.ndarray:
    """f4 (cell, gain, chip), median noise of good pixels, NaN where there are none.

    noise, bad: (cell, gain, slow_scan, fast_scan)
    """
    found = np.full((*noise.shape[:2], by_chip(bad[0, 0], chip_shape).shape[0]), np.nan, np.float32)
    for cell, stage in np.ndindex(*noise.shape[:2]):
        values, words = by_chip(noise[cell, stage], chip_shape), by_chip(bad[cell, stage], chip_shape)
        for chip, good in enumerate(words == 0):
            if good.any():
                found[cell, stage, chip] = np.median(values[chip][good])
    return found


def outlying_chips(
    detector: Detector, results: Mapping[str, Mapping[str, Any]], noise_factor: float = 1.5
) -> list[dict[str, Any]]:
    """Rows of a table: chips with many bad pixels or with more noise than others, in some gain stages or all.

    results: {task name: with "module", "chip_bad" of `bad_share_by_chip`, "chip_noise" of `noise_by_chip`}
    noise_factor: over the median of the module's chips in the same stage
    """
    rows = []
    for result in sorted(results.values(), key=lambda r: r["module"]):
        share, noise = result["chip_bad"], result["chip_noise"]
        typical = [float(np.nanmedian(noise[:, stage])) for stage in range(noise.shape[1])]
        for chip in range(share.shape[2]):
            kinds = {
                "bad pixels": (share[:, :, chip], [_BAD_SHARE] * len(typical), "{:.0%}"),
                "noise": (noise[:, :, chip], [noise_factor * value for value in typical], "{:.1f} ADU"),
            }
            rows += [
                {"module": result["module"], "ASIC": chip, **row, "what": what, "worst": shown.format(worst)}
                for what, (values, limits, shown) in kinds.items()
                for row, worst in _above(detector, values, limits)
            ]
    return rows


def _above(
    detector: Detector, values: np.ndarray, limits: Sequence[float]
) -> Iterator[tuple[dict[str, str], float]]:
    """({gain stage, cells}, largest value) where values (cell, gain) are above their stage's limit.

    Stages with the same cells are told together.
    """
    stages: dict[str, list[int]] = {}
    for stage, limit in enumerate(limits):
        cells = np.flatnonzero(values[:, stage] > limit)
        if len(cells):
            stages.setdefault(cells_as_text(cells, len(values)), []).append(stage)
    for cells_text, found in stages.items():
        every = len(found) == len(limits) > 1
        names = "all" if every else ", ".join(detector.gain_stages[stage] for stage in found)
        yield {"gain stage": names, "cells": cells_text}, float(np.nanmax(values[:, found]))


def cells_as_text(cells: Sequence[int] | np.ndarray, of: int) -> str:
    """ "all", or ranges of memory cells like "0-3, 7"."""
    if len(cells) == of:
        return "all"
    ranges = []
    for _, run in groupby(enumerate(cells), key=lambda item: int(item[1]) - item[0]):
        numbers = [int(cell) for _, cell in run]
        ranges.append(f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0]))
    return ", ".join(ranges)
