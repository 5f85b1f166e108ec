"""Results of corrected AGIPD files put together, module by module, and what stands out in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibook.calibration.summaries.chips import cells_as_text
from calibook.calibration.summaries.overview import combined

Result = Mapping[str, Any]
_BAD_SHARE = 0.1
"""Share of bad pixels above which a chip stands out in a memory cell."""
_SIGMAS = 8.0
"""How far a chip's signal in a cell may lie from what chip and cell usually show."""
_LEAST = 0.05
"""As a share of the signal: smaller differences don't matter."""


def combined_agipd(parts: Sequence[Result]) -> dict[str, Any]:
    """One module's files as if they were one, see `overview.combined` and `AgipdSamples.results`.

    Values by memory cell are means over the files that have the cell; `trains`
    is i8 (frame,), the frame's train counted over the files.
    """
    every = np.unique(np.concatenate([part["cell_ids"] for part in parts]))
    trains = np.concatenate([part["frames_of_trains"] for part in parts])
    by_cell = ("chip_signal", "chip_bad", "cell_stages", "cell_shifts")
    return {
        **combined(parts),
        **{name: _by_cell(parts, name, every) for name in by_cell},
        "cell_ids": every,
        "cells": np.concatenate([part["cells"] for part in parts]),
        "trains": np.repeat(np.arange(len(trains)), trains),
        "baseline": np.concatenate([part["baseline"] for part in parts]),
        "train_shifts": np.concatenate([part["train_shifts"] for part in parts]),
        "planes": sum(part["planes"] for part in parts),
        "raw_first": parts[0]["raw_first"].astype("f4"),
    }


def _by_cell(parts: Sequence[Result], name: str, every: np.ndarray) -> np.ndarray:
    total = np.zeros((len(every), *parts[0][name].shape[1:]))
    count = np.zeros_like(total)
    for part in parts:
        there, values = np.searchsorted(every, part["cell_ids"]), part[name]
        known = np.isfinite(values)
        total[there] += np.where(known, values, 0)
        count[there] += known
    with np.errstate(invalid="ignore"):
        return total / count


def signal_by_cell(module: Result) -> np.ndarray:
    """Mean signal of good pixels in each of the module's memory cells, over all trains: f8 (cell,)."""
    cell = np.asarray(np.searchsorted(module["cell_ids"], module["cells"]))
    return mean_by(cell, module["signals"], len(module["cell_ids"]))


def train_by_cell(module: Result) -> np.ndarray:
    """Mean signal of good pixels of each frame: f8 (train, cell), NaN where there was no frame."""
    table = np.full((module["trains"][-1] + 1, len(module["cell_ids"])), np.nan)
    table[module["trains"], np.searchsorted(module["cell_ids"], module["cells"])] = module["signals"]
    return table


def mean_by(group: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    """Mean of the finite values of each group: f8 (groups,), NaN where there are none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.bincount(group[known], values[known], groups) / np.bincount(group[known], minlength=groups)


def outlying_chips(modules: Mapping[int, Result]) -> list[dict[str, Any]]:
    """Rows {module, ASIC, cells, what, worst}: chips that stand out, in all memory cells or in some.

    Bad pixels: more than a tenth. Signal: the mean of good pixels in cell c of
    chip k lies off what it usually is, the product of the chip's median and the
    median ratio to it of all chips in that cell, by more than eight robust
    standard deviations and 5 %. ASICs are counted from 0, along fast scan first.
    """
    rows = []
    for module, found in modules.items():
        cells, chips = len(found["cell_ids"]), found["chip_bad"][0].size
        bad = found["chip_bad"].reshape(cells, chips)
        off, limit = _signal_off(found["chip_signal"].reshape(cells, chips))
        for chip in range(chips):
            findings = {
                "bad pixels": (bad[:, chip], _BAD_SHARE, "{:.0%}"),
                "signal off": (np.abs(off[:, chip]), limit, "{:.0%}"),
            }
            rows += [
                {
                    "module": module,
                    "ASIC": chip,
                    "cells": cells_as_text(found["cell_ids"][values > edge], cells),
                    "what": what,
                    "worst": shown.format(float(np.nanmax(values))),
                }
                for what, (values, edge, shown) in findings.items()
                if (values > edge).any()
            ]
    return rows


def _signal_off(signal: np.ndarray) -> tuple[np.ndarray, float]:
    """(relative difference of the signal from the usual one, its limit); signal: (cell, chip)"""
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = _median(signal, 0)
        off = signal / (usual * _median(signal / usual, 1)[:, None]) - 1
    known = off[np.isfinite(off)]
    spread = 1.4826 * np.median(np.abs(known)) if known.size else 0.0
    return np.where(np.isfinite(off), off, 0), max(_LEAST, _SIGMAS * float(spread))


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Over what is finite; NaN, without a warning, where nothing is."""
    masked = np.ma.masked_invalid(values)
    return np.ma.median(masked, axis=axis).filled(np.nan)
