"""What AGIPD's darks leave for the summary, besides what all darks do; and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from calibook.calibration.agipd.darks import AgipdDarks, gain_separation, thresholds_of
from calibook.calibration.summaries.chips import bad_share_by_chip, noise_by_chip
from calibook.calibration.summaries.darks import SHOWN_CELL, dark_results, medians_of
from calibook.calibration.summaries.figures import Results, dark_figures
from calibook.calibration.summaries.gains import true_module
from calibook.detectors.agipd import ASIC_SHAPE
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Task
from calibook.reports.verdict import Figure

DARK_GOALS = {
    "offset_bias_adu": (-1.0, 1.0),
    "threshold_bias_adu": (-1.0, 1.0),
    "threshold_spread_adu": (None, 20.0),
}
"""Offsets are judged less strictly than elsewhere: pixels of a chip share shifts of 9 ADU from frame
to frame, whose mean over the trains no pixel's offset can do without. Thresholds lie more than ten times
20 ADU from the levels on both sides."""

# A chip with more bad pixels than this can't be used.
_DEAD = 0.5


def agipd_dark_results(task: Task, darks: AgipdDarks, previous: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """See `dark_results`; and, with adaptive gain, f4:

    level: (gain, slow_scan, fast_scan), separation: (pair of stages, slow_scan, fast_scan),
        of the shown memory cell; see `gain_separation`
    good_level: f8 (cell, gain), good_separation: f8 (cell, pair), medians over good pixels
    chip_bad, chip_noise: (cell, gain, chip), see `chips`
    """
    found = dark_results(
        task, darks, darks.bad, previous,
        chip_bad=bad_share_by_chip(darks.bad, ASIC_SHAPE),
        chip_noise=noise_by_chip(darks.noise, darks.bad, ASIC_SHAPE),
    )  # fmt: skip
    if darks.fixed_gain:
        return found
    good = darks.bad == 0
    separation = gain_separation(darks.level, darks.spread)
    return {
        **found,
        "level": darks.level[SHOWN_CELL],
        "good_level": medians_of(darks.level, good),
        "separation": separation[SHOWN_CELL],
        "good_separation": medians_of(separation, good[:, 1:] & good[:, :-1]),
    }


def threshold_truth(
    in_folder: str, run: int, task: Task, darks: AgipdDarks, stages: Sequence[str]
) -> dict[str, float]:
    """Figures of one module's thresholds, {"truth_" + name: value}; empty without truth or with fixed gain.

    stages: names of the gain stages

    For each pair of stages, over good pixels and cells: mean and standard deviation of measured minus
    true threshold, which is half way between the true levels of the gain plane [ADU].
    """
    truth = None if darks.fixed_gain else true_module(in_folder, run, task)
    if truth is None:
        return {}
    thresholds, good, figures = thresholds_of(darks.level), truth.good_pixels(), {}
    for pair, (lower, upper) in enumerate(pairwise(stages)):
        true = (truth.gain_level(pair) + truth.gain_level(pair + 1)) / 2
        off = (thresholds[:, pair] - true)[:, good].astype("f8")
        known = off[np.isfinite(off)]
        figures[f"truth_threshold_bias_adu_{lower}_{upper}"] = float(known.mean()) if known.size else np.nan
        figures[f"truth_threshold_spread_adu_{lower}_{upper}"] = float(known.std()) if known.size else np.nan
    return figures


def agipd_dark_figures(detector: Detector, results: Results, gain_sigmas: float) -> list[Figure]:
    """Figures of a dark characterisation, over all modules: {task name: `agipd_dark_results`}.

    gain_sigmas: least separation of two stages
    """
    every = list(results.values())
    figures = dark_figures(detector, results)
    for pair, (lower, upper) in enumerate(pairwise(detector.gain_stages)):
        lowest = [r["good_separation"][:, pair] for r in every if "good_separation" in r]
        if lowest:
            figures.append(
                Figure(
                    f"gain_separation_{lower}_{upper}",
                    float(np.nanmin(np.concatenate(lowest))),
                    "sigma",
                    f"median distance of the gain plane from {lower} to {upper}, worst module and cell",
                    warn=(1.5 * gain_sigmas, None),
                    fail=(gain_sigmas, None),
                )
            )
    dead = sum(int((r["chip_bad"].min(axis=0).max(axis=0) > _DEAD).sum()) for r in every)
    meaning = "ASICs with more than half of their pixels bad, in all memory cells of a gain stage"
    return [*figures, Figure("dead_asics", dead, meaning=meaning, warn=(None, 0))]
