"""The constants that a perfect characterisation of a simulated AGIPD would find."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibook.calibration.made import put_constants
from calibook.constants import Store
from calibook.detectors.agipd import SLOPES_PC, agipd_of
from calibook.procedures.tasks import Task
from calibook.runs.conditions import read_conditions
from calibook.simulation.agipd_truth import AgipdTruth
from calibook.simulation.truth_files import read_truth, truth_path

ALL = ("Offset", "Noise", "ThresholdsDark", "BadPixelsDark", "SlopesPC", "SlopesFF")


def true_constants(truth: AgipdTruth) -> dict[str, np.ndarray]:
    """{calibration: (cell, gain or quantity, slow_scan, fast_scan)}"""
    stages = [truth.stage(s) for s in range(3)]
    offset, noise, bad = (np.stack(arrays, 1) for arrays in zip(*stages, strict=True))
    level = np.stack([truth.gain_level(s) for s in range(3)], 1)
    slopes = np.zeros((len(offset), len(SLOPES_PC), *offset.shape[2:]), "f4")
    for s, name, start in ((0, "high", offset[:, 0]), (1, "medium", offset[:, 1] - truth.forced_error)):
        slopes[:, SLOPES_PC.index(f"{name} slope")] = truth.gain(s) * truth.pulser
        slopes[:, SLOPES_PC.index(f"{name} intercept")] = start
    return {
        "Offset": offset,
        "Noise": noise,
        "ThresholdsDark": np.concatenate([(level[:, :2] + level[:, 1:]) / 2, level], axis=1),
        "BadPixelsDark": bad,
        "SlopesPC": slopes,
        "SlopesFF": truth.gain(0)[:, None],
    }


def put_true_constants(
    raw: Path,
    store: Path,
    karabo_id: str,
    modules: tuple[int, ...],
    names: tuple[str, ...] = ALL,
    run: int = 4,
) -> None:
    """Put them into a store, for the conditions of a run and from a day before it on."""
    detector = agipd_of(karabo_id)
    found = read_conditions(raw, run, detector, karabo_id)
    begin = "2024-12-31T00:00:00.000+00:00"
    for module in modules:
        aggregator = detector.aggregator.format(module=module)
        truth, _ = read_truth(truth_path(raw, run, aggregator))
        about = {
            "unit": Store(store).unit_of(karabo_id, aggregator, begin),
            "begin": begin,
            "store": str(store),
            "valid_for": [found.conditions],
        }
        task = Task(aggregator, about=about, outputs=[str(store.parent / f"{aggregator}.json")])
        # Constants are stored without the axis that they have but one of.
        arrays = {
            name: array[:, 0] if array.shape[1] == 1 else array
            for name, array in true_constants(truth).items()
            if name in names
        }
        put_constants(detector, task, arrays)
