"""Results held against the truth that a simulation left beside its runs.

Real data have no truth; then nothing is compared. The limits are the goals of
the project's truth loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from calibook.calibration.summaries.darks import DarkMaps
from calibook.calibration.summaries.overview import MANY_MODULES
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Plan, Task
from calibook.reports.verdict import Figure
from calibook.simulation.compare import STAGES, comparable_pixels, compare_darks, compare_photons
from calibook.simulation.truth_files import read_truth, true_photon_energy, truth_path

ALL_MODULES = "all modules"
Goals = Mapping[str, tuple[float | None, float | None]]
"""{kind of figure: (lowest, highest)}; None for no limit"""
_GOALS: Goals = {
    "offset_bias_adu": (-0.1, 0.1),
    "noise_ratio": (0.97, 1.03),
    "bad_pixel_precision": (0.99, None),
    "bad_pixel_recall": (0.99, None),
    "photon_bias": (-1e-3, 1e-3),
}
_MEANINGS = {
    "offset_bias_adu": "mean offset, measured minus true, over good pixels",
    "noise_ratio": "median noise, measured over true, over good pixels",
    "threshold_bias_adu": "mean threshold on the gain plane, measured minus true, over good pixels",
    "threshold_spread_adu": "spread of measured minus true thresholds on the gain plane, over good pixels",
    "bad_pixel_precision": "share of truly bad pixels among those called bad",
    "bad_pixel_recall": "share of truly bad pixels that were found",
    "photon_bias": "sum of corrected over sum of true photons, minus 1",
    "gain_bias": "mean gain, measured over true, minus 1, over good pixels",
    "gain_failed": "good pixels without a gain",
    "gain_pull_width": "spread of measured minus true gains, in units of their errors",
    "ratio_bias": "mean ratio of slopes, measured over true, minus 1, over good pixels",
    "ratio_failed": "good pixels without a ratio of slopes",
    "ratio_pull_width": "spread of measured minus true ratios of slopes, in units of their errors",
    "hook_failed": "good pixels in which the bent start of the medium line was not found",
    "hook_amplitude_bias": "median height of the bent start, measured over true, minus 1, over good pixels",
    "hook_decay_bias": "median length of the bent start, measured over true, minus 1, over good pixels",
    "wrong_stage": "samples of good pixels in another gain stage than they truly are, snow aside",
    "false_photons": "samples without a photon that count as one",
    "lost_photons": "samples of one photon that count as none",
    "false_photons_ratio": "false photons over those that noise and shared charge make",
    "lost_photons_ratio": "lost photons over those that noise and shared charge make",
    "shift_variance_left": "variance of common mode that is left in chips with few photons, of the true one",
}


def dark_truth(
    in_folder: str, run: int, task: Task, darks: DarkMaps, bad: np.ndarray, stages: Sequence[str] = STAGES
) -> dict[str, float]:
    """Figures of one module's darks, {"truth_" + name: value}; empty if there is no truth.

    bad: u4 (cell, gain, slow_scan, fast_scan)
    stages: names of the gain stages
    """
    path = truth_path(in_folder, run, task.about["karabo_da"])
    if not path.is_file():
        return {}
    truth, _ = read_truth(path)
    figures = compare_darks(truth, darks.offset, darks.noise, bad, stages)
    return {f"truth_{name}": value for name, value in figures.items()}


def photon_truth(detector: Detector, plan: Plan, in_folder: str, run: int, unit: str) -> dict[str, float]:
    """Photon bias of each gain stage over all corrected modules; empty if there is no truth.

    unit: of the corrected data, "photons" or "keV"; keV are compared with the energy of the true photons
    """
    by_module: dict[str, list[Task]] = {}
    for task in plan.tasks:
        if Path(task.outputs[0]).is_file():
            by_module.setdefault(task.name.split("-")[0], []).append(task)
    paths = {module: truth_path(in_folder, run, module) for module in by_module}
    compared = [module for module, path in paths.items() if path.is_file()]
    if not compared:
        return {}
    true, measured, good = [], [], []
    for module in compared:
        truth, photons = read_truth(paths[module])
        true.append(photons.photons)
        per_photon = true_photon_energy(paths[module]) if unit == "keV" else 1.0
        measured.append(_stage_sums(detector, by_module[module]) / per_photon)
        good.append(comparable_pixels(truth, photons))
    figures = compare_photons(np.stack(true, 1), np.stack(measured, 1), np.stack(good))
    # A stage that no pixel reached has no bias.
    return {f"truth_{name}": value for name, value in figures.items() if np.isfinite(value)}


def _stage_sums(detector: Detector, tasks: Sequence[Task]) -> np.ndarray:
    """Sum of corrected values by gain stage, read with EXtra-data: f8 (gain, slow_scan, fast_scan)."""
    from extra_data import H5File

    sums = np.zeros((len(detector.gain_stages), *detector.module_shape))
    for task in tasks:
        source = detector.corrected_source.format(
            karabo_id=task.about["karabo_id"], module=task.about["module"]
        )
        with H5File(task.outputs[0]) as run:
            keys = [run[source, f"{detector.index_group}.{name}"] for name in ("adc", "gain")]
            for _, train in run.select([(key.source, key.key) for key in keys]).trains():
                values, stages = (np.asarray(train[source][key.key]) for key in keys)
                for stage in range(len(sums)):
                    axes = tuple(range(values.ndim - 2))
                    sums[stage] += np.nansum(values, axis=axes, where=stages == stage, dtype="f8")
    return sums


def truth_figures(measured: Sequence[Mapping[str, float]], goals: Goals | None = None) -> list[Figure]:
    """Verdict figures of what was compared in one or more modules: the worst module counts.

    measured: {"truth_" + name: value} of each module
    goals: those that differ from the usual ones
    """
    limits = {**_GOALS, **(goals or {})}
    figures = []
    for name in dict.fromkeys(name for module in measured for name in module if name.startswith("truth_")):
        low, high = limits[_kind(name, limits)]
        badness = _badness(low)
        worst = max((module[name] for module in measured if name in module), key=badness)
        unit = "ADU" if "_adu" in name else ""
        figures.append(Figure(name.lower(), worst, unit, _MEANINGS[_kind(name, _MEANINGS)], fail=(low, high)))
    return figures


def truth_rows(
    compared: Mapping[str, Mapping[str, float]], goals: Goals | None = None
) -> list[dict[str, str]]:
    """Rows {figure, one column per module} of a table; with more than MANY_MODULES, the worst one instead.

    compared: {module, or "all modules": {"truth_" + name: value}}
    """
    limits = {**_GOALS, **(goals or {})}
    many = len(set(compared) - {ALL_MODULES}) > MANY_MODULES
    rows = []
    for name in dict.fromkeys(name for found in compared.values() for name in found):
        shown = {label: f"{found[name]:.3g}" if name in found else "" for label, found in compared.items()}
        if many:
            worst = _worst_module(compared, name, _badness(limits[_kind(name, limits)][0]))
            whole = shown.get(ALL_MODULES, "")
            shown = {ALL_MODULES: whole, "worst module": worst, "there": shown.get(worst, "")}
        rows.append({"figure": name.removeprefix("truth_").replace("_", " "), **shown})
    return rows


def _worst_module(
    compared: Mapping[str, Mapping[str, float]], name: str, badness: Callable[[float], float]
) -> str:
    """The label of the module whose figure is worst; empty if no module has it."""
    found = {label: of[name] for label, of in compared.items() if label != ALL_MODULES and name in of}
    return max(found, key=lambda label: badness(found[label]), default="")


def _badness(low: float | None) -> Callable[[float], float]:
    """How far a value is from what is perfect: 1, if nothing near 0 is good; else 0."""
    center = 1.0 if low and low > 0 else 0.0
    return lambda value: abs(value - center) if np.isfinite(value) else np.inf


def _kind(name: str, kinds: Iterable[str]) -> str:
    """The longest kind that the name of a figure begins with."""
    return max((kind for kind in kinds if name.startswith(f"truth_{kind}")), key=len)
