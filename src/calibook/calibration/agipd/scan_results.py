"""What a scan of an AGIPD module leaves for the summary, its figures, and how true it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibook.calibration.agipd.pc import HOOK
from calibook.calibration.agipd.scan import ModuleScan, open_scan
from calibook.calibration.agipd.slopes import slope_ratio
from calibook.calibration.summaries.figures import Results
from calibook.calibration.summaries.gains import (
    bit_counts,
    change_figures,
    gain_change,
    gain_truth,
    largest,
    mean,
    pick_pixels,
    true_module,
)
from calibook.detectors.agipd import GAIN_PLANE, SIGNAL_PLANE, SLOPES_PC
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Task
from calibook.reports.verdict import Figure

SCAN_GOALS = {
    "ratio_bias": (-1e-2, 1e-2),
    "ratio_failed": (None, 0.01),
    "ratio_pull_width": (0.9, 1.1),
    "hook_failed": (None, None),
    "hook_amplitude_bias": (-0.05, 0.05),
    "hook_decay_bias": (-0.05, 0.05),
}
_BITS = (BadPixels.CI_EVAL_ERROR, BadPixels.CI_GAIN_OF_OF_THRESHOLD, BadPixels.CI_LINEAR_DEVIATION)
_SHOWN_CELL = 0
_LINES = ("high", "medium")


def scan_results(
    detector: Detector, task: Task, scan: ModuleScan, previous: np.ndarray | None = None
) -> dict[str, Any]:
    """Results of one module, by name.

    previous: SlopesPC before these, (cell, quantity, slow_scan, fast_scan); None if there are none

    ratio, ratio_error: f4 (slow_scan, fast_scan), bad: u4 likewise, of the first memory cell
    quantities: f4 (quantity, slow_scan, fast_scan), SlopesPC of that cell
    bad_share: f8 (cell,); bit_counts: i8 (1, 32), over all cells
    typical_*: f8 (cell,), medians over good pixels of the ratio, its error and spread, of the slopes
        [ADU per pulse], of the scatter round the lines [ADU], of the hook's amplitude and decay
    fewest_points: i8 (2,), median points of a line, of high and medium gain
    sample_*: scans of some pixels in that cell, see `_samples`
    change, typical_change: if there are previous slopes, see `gain_change`
    """
    good, ratio = scan.bad == 0, scan.ratio
    points = [scan.points[:, line][good] for line in range(len(_LINES))]
    return {
        "module": task.about["module"],
        "unit": task.about["unit"],
        "ratio": ratio[_SHOWN_CELL],
        "ratio_error": scan.ratio_error[_SHOWN_CELL],
        "bad": scan.bad[_SHOWN_CELL],
        "quantities": scan.slopes[_SHOWN_CELL],
        "bad_share": 1.0 - good.mean(axis=(1, 2)),
        "bit_counts": bit_counts(scan.bad),
        "fewest_points": np.array([np.median(n) if n.size else 0 for n in points], int),
        **_typical(scan, good),
        **_samples(detector, task, scan),
        **({} if previous is None else gain_change(ratio, slope_ratio(previous), scan.bad, _SHOWN_CELL)),
    }


def _typical(scan: ModuleScan, good: np.ndarray) -> dict[str, np.ndarray]:
    named = {
        f"typical_{line}_{what}": scan.slopes[:, SLOPES_PC.index(f"{line} {what}")]
        for line in _LINES
        for what in ("slope", "deviation")
    }
    named |= {
        f"typical_hook_{what}": scan.slopes[:, SLOPES_PC.index(f"hook {what}")]
        for what in ("amplitude", "decay")
    }
    ratio = scan.ratio
    found = {
        name: _medians(values, good)
        for name, values in {**named, "typical_ratio": ratio, "typical_error": scan.ratio_error}.items()
    }
    distance = np.abs(ratio - found["typical_ratio"][:, None, None])
    return {**found, "typical_spread": 1.4826 * _medians(distance, good)}


def _medians(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """f8 (cell,), over good pixels; NaN where there is none."""
    chosen = (of_cell[ok] for of_cell, ok in zip(values, good, strict=True))
    return np.array([np.median(v) if v.size else np.nan for v in chosen])


def _samples(detector: Detector, task: Task, scan: ModuleScan) -> dict[str, Any]:
    """Scans of some pixels, read again: titles (sample,); pulses i8, signal, gain_plane u2 (sample, frame),
    -1 where a run had fewer frames; lines f4 (sample, quantity)."""
    picked = pick_pixels(scan.ratio[_SHOWN_CELL], scan.bad[_SHOWN_CELL], _BITS)
    curves = {}
    with open_scan(detector, task) as runs:
        for run in runs:
            place = np.flatnonzero(np.repeat(run.rows, detector.module_shape[1]))
            mine = [(title, pixel) for title, pixel in picked.items() if pixel in place]
            if mine:
                raw, pulses = run.of_cell(_SHOWN_CELL)
                for title, pixel in mine:
                    curves[title] = (pulses, *raw[:, :, np.searchsorted(place, pixel)].T.astype("i8"))
    longest = max((len(pulses) for pulses, *_ in curves.values()), default=0)
    table = np.full((3, len(picked), longest), -1)
    for number, title in enumerate(picked):
        for i, values in enumerate(curves[title]):
            table[i, number, : len(values)] = values
    flat = scan.slopes[_SHOWN_CELL].reshape(len(SLOPES_PC), -1)
    return {
        "sample_titles": np.array(list(picked)),
        "sample_pulses": table[0],
        "sample_signal": table[1 + SIGNAL_PLANE],
        "sample_gain_plane": table[1 + GAIN_PLANE],
        "sample_lines": flat[:, list(picked.values())].T,
    }


def scan_truth(in_folder: str, run: int, task: Task, scan: ModuleScan) -> dict[str, float]:
    """Figures of one module, {"truth_" + name: value}; empty if there is no truth."""
    truth = true_module(in_folder, run, task)
    if truth is None:
        return {}
    true = truth.gain(0) / truth.gain(1)
    return {
        **gain_truth("ratio", truth, true, scan.ratio, scan.ratio_error, scan.bad, truth.bad_with_pulser()),
        **hook_truth(truth, scan),
    }


def hook_truth(truth: Any, scan: ModuleScan) -> dict[str, float]:
    """Figures of the bent start of the medium line, over good pixels of all memory cells.

    Biases only if most of them have one: a scan may leave out the trains that show it.
    """
    amplitude, start, decay = (scan.slopes[:, SLOPES_PC.index(f"hook {name}")] for name in HOOK)
    good = truth.good_pixels() & (scan.bad == 0)
    fitted = good & (decay > 0)
    failed = {"truth_hook_failed": 1 - float(fitted.sum() / max(1, good.sum()))}
    if 2 * fitted.sum() <= good.sum():
        return failed
    true_amplitude, true_decay = truth.hook(start)
    true_decay = np.broadcast_to(true_decay, fitted.shape)
    return {
        **failed,
        "truth_hook_amplitude_bias": float(np.median((amplitude / true_amplitude)[fitted])) - 1,
        "truth_hook_decay_bias": float(np.median(decay[fitted] / true_decay[fitted])) - 1,
    }


def scan_figures(results: Results) -> list[Figure]:
    """Figures over all modules: {task name: `scan_results`}."""
    every = list(results.values())

    def of(name: str) -> np.ndarray:
        return np.concatenate([r[f"typical_{name}"] for r in every])

    worst = "worst module and cell"
    bad = float(np.mean([r["bad_share"].mean() for r in every]))
    figures = [
        Figure(
            f"points_{line}", min(int(r["fewest_points"][i]) for r in every), "",
            f"median points of the {line} line, worst module", warn=(50, None), fail=(5, None),
        )
        for i, line in enumerate(_LINES)
    ]  # fmt: skip
    figures += [
        Figure(f"slope_{line}", mean(of(f"{line}_slope")), "ADU", f"median slope in {line} gain, per pulse")
        for line in _LINES
    ]
    figures += [
        Figure(
            f"deviation_{line}", largest(of(f"{line}_deviation")), "ADU",
            f"median scatter round the {line} line, {worst}", warn=(None, 20.0),
        )
        for line in _LINES
    ]  # fmt: skip
    return [
        *figures,
        Figure("ratio", mean(of("ratio")), "", "median ratio of high to medium slope", warn=(25.0, 45.0)),
        Figure(
            "ratio_spread", largest(of("spread") / of("ratio")), "", f"spread of good pixels' ratios, {worst}"
        ),
        Figure(
            "ratio_error", largest(of("error") / of("ratio")), "",
            f"median error of a pixel's ratio, relative, {worst}", warn=(None, 0.02), fail=(None, 0.1),
        ),
        Figure("bad_pixels", bad, "", "bad pixels, of all", warn=(None, 0.1), fail=(None, 0.5)),
        *change_figures("ratio", results, 0.02),
    ]  # fmt: skip
