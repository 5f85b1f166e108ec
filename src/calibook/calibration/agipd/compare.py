"""A corrected AGIPD run held against the truth that its simulation left: stages, photons, counts, shifts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibook.calibration.summaries.chips import by_chip
from calibook.calibration.summaries.truth import ALL_MODULES
from calibook.detectors.agipd import ASIC_SHAPE
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Plan, Task
from calibook.simulation.agipd_truth import QUANTISATION_VARIANCE, asic_maps
from calibook.simulation.compare import (
    comparable_pixels,
    compare_counts,
    compare_photons,
    compare_shifts,
    compare_stages,
    expected_counts,
)
from calibook.simulation.silicon import FANO_KEV
from calibook.simulation.truth_files import read_truth, true_photon_energy, truth_path

CORRECTION_GOALS = {
    "photon_bias_medium": (-5e-3, 5e-3),
    "photon_bias_low": (-1e-2, 1e-2),
    "wrong_stage": (None, 1e-4),
    "false_photons": (None, None),
    "lost_photons": (None, None),
    "false_photons_ratio": (0.9, 1.1),
    "lost_photons_ratio": (0.9, 1.1),
    "shift_variance_left": (None, 0.05),
}
FEWEST_SAMPLES = 10_000
"""In a gain stage, to tell its bias: a sample of medium gain is known to 4 of 60 photons or so."""
FAINT = 1.0
"""Photons per pixel of the chips whose common mode and counts are compared: in brighter ones
it need not be found."""
FEWEST_COUNTS = 400
"""Expected false or lost photons from which on their number is compared: its own spread then is 5 %."""


@dataclass(frozen=True)
class CorrectedTrain:
    """data f4, gain u1 (frame, slow_scan, fast_scan), and the frames' cells, of one train of a file."""

    train_id: int
    cells: np.ndarray
    data: np.ndarray
    gain: np.ndarray


def compare_run(
    detector: Detector,
    plan: Plan,
    results: Mapping[str, Mapping[str, Any]],
    in_folder: str,
    run: int,
    unit: str,
    photon_energy: float,
    threshold: float = 0.5,
) -> dict[str, dict[str, float]]:
    """{"all modules" or aggregator: figures {"truth_" + name: value}}; empty without truth.

    results: of the plan's tasks
    unit: "keV", "photons", or "ADU", which tells stages and shifts alone
    photon_energy: keV, with which photons were counted; of no account in "keV"
    threshold: from how much of a photon on a pixel counts as one
    """
    in_photons = unit != "ADU"
    compared = {}
    for aggregator, tasks in _modules(plan, in_folder, run).items():
        path = truth_path(in_folder, run, aggregator)
        energy = true_photon_energy(path) if unit == "keV" else photon_energy
        compared[aggregator] = _Module(detector, tasks, results, path, energy, unit == "keV")
    figures = {aggregator: module.figures(in_photons, threshold) for aggregator, module in compared.items()}
    whole = [module for module in compared.values() if module.complete]
    if whole and in_photons:
        true, measured, good = (
            np.stack([getattr(module, name) for module in whole], axis)
            for name, axis in (("true", 1), ("measured", 1), ("snowless", 0))
        )
        figures = {ALL_MODULES: compare_photons(true, measured, good, detector.gain_stages), **figures}
        for stage, name in enumerate(detector.gain_stages):
            samples = sum(int(module.photons.frames[stage][module.snowless].sum()) for module in whole)
            if samples < FEWEST_SAMPLES:
                del figures[ALL_MODULES][f"photon_bias_{name}"]
    # Where nothing was to be compared, e.g. in a stage that no pixel reached, there is no figure.
    return {
        label: {f"truth_{name}": value for name, value in found.items() if np.isfinite(value)}
        for label, found in figures.items()
    }


def _modules(plan: Plan, in_folder: str, run: int) -> dict[str, list[Task]]:
    """{aggregator of a module with a truth: tasks whose corrected files there are}"""
    found: dict[str, list[Task]] = {}
    for task in plan.tasks:
        aggregator = task.name.split("-")[0]
        if truth_path(in_folder, run, aggregator).is_file() and Path(task.outputs[0]).is_file():
            found.setdefault(aggregator, []).append(task)
    return found


class _Module:
    """One module: its truth, and what was read of its corrected files.

    truth, photons: an AgipdTruth, AgipdPhotons
    energy: of a photon [keV]
    true, measured: f8 (gain, slow_scan, fast_scan), sums of photons; measured by measured stage
    good: bool (slow_scan, fast_scan), pixels that count
    snowless: bool, same shape, those of them in which no snow fell: bright snow can't be told from light
    complete: all frames that the truth's sums are over were corrected
    """

    def __init__(
        self,
        detector: Detector,
        tasks: Sequence[Task],
        results: Mapping[str, Mapping[str, Any]],
        path: Path,
        energy: float,
        in_kev: bool,
    ):
        self.truth, self.photons = read_truth(path)
        self.energy, per_photon = energy, energy if in_kev else 1.0
        self.true = self.photons.photons
        self.measured = np.zeros_like(self.true)
        self.good = comparable_pixels(self.truth, self.photons)
        self.snowless = self.good & (self.photons.snow == 0)
        self._number = {
            key: n for n, key in enumerate(zip(self.photons.train_id, self.photons.cell, strict=True))
        }
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._results = [results[task.name] for task in tasks if task.name in results]
        seen = sum(self._add(train, per_photon) for task in tasks for train in _trains(detector, task))
        self.complete = seen == int((self.photons.lost == 0).sum())

    def _add(self, train: CorrectedTrain, per_photon: float) -> int:
        """Take a train; returns how many of its frames count."""
        numbers = [self._number[train.train_id, cell] for cell in train.cells]
        there = [i for i, n in enumerate(numbers) if not self.photons.lost[n]]
        for stage in range(len(self.measured)):
            of_stage = train.gain[there] == stage
            self.measured[stage] += (
                np.nansum(train.data[there], axis=0, where=of_stage, dtype="f8") / per_photon
            )
        for i in there:
            if numbers[i] < len(self.photons.first_stage):
                self._kept[numbers[i]] = train.data[i] / np.float32(per_photon), train.gain[i]
        return len(there)

    def figures(self, in_photons: bool, threshold: float) -> dict[str, float]:
        """Of the frames that the truth has pixel by pixel, and of the shifts."""
        figures = self._shifts()
        kept = sorted(self._kept)
        if kept:
            usable = self.good & (self.photons.first_snow[kept] == 0)
            gain = np.stack([self._kept[n][1] for n in kept])
            figures |= compare_stages(self.photons.first_stage[kept], gain, usable)
            if in_photons:
                # Elsewhere shifts that can't be found add to the noise.
                faint = usable & asic_maps(self._faint_chips())
                figures |= self._counts(kept, faint, threshold)
        return figures

    def _counts(self, kept: list[int], usable: np.ndarray, threshold: float) -> dict[str, float]:
        photons, charge = self.photons.first_photons[kept], self.photons.first_charge[kept]
        data = np.stack([self._kept[n][0] for n in kept])
        noise = self._noise(self.photons.cell[kept], charge * self.energy) / self.energy
        figures = compare_counts(photons, data, usable, threshold)
        expected, events = expected_counts(photons, charge, noise, usable, threshold)
        for name, value in expected.items():
            enough = events[name] >= FEWEST_COUNTS
            figures[f"{name}_ratio"] = figures[name] / value if enough else np.nan
        return figures

    def _noise(self, cells: np.ndarray, charge: np.ndarray) -> np.ndarray:
        """Of samples in high gain, electronic, of the ADC's steps and of Fano: keV."""
        adu = (self.truth.noise[0] * self.truth.cell_noise[cells]) ** 2 + QUANTISATION_VARIANCE
        with np.errstate(divide="ignore"):  # dead pixels have no gain
            return np.sqrt(adu / self.truth.gain(0)[cells] ** 2 + charge * FANO_KEV)

    def _shifts(self) -> dict[str, float]:
        planted, measured = [], []
        for result in self._results:
            shifts = result["chip_shifts"] + result["baseline"][: len(result["chip_shifts"]), None, None]
            trains = np.repeat(result["train_ids"], result["frames_of_trains"])
            numbers = [self._number[key] for key in zip(trains[: len(shifts)], result["cells"], strict=False)]
            planted.append(self.photons.asic_shift[numbers] + self.photons.baseline_shift[numbers])
            measured.append(shifts.reshape(len(shifts), -1))
        if not planted:
            return {}
        faint = self._faint_chips()
        return compare_shifts(np.concatenate(planted)[:, faint], np.concatenate(measured)[:, faint])

    def _faint_chips(self) -> np.ndarray:
        """Chips that aren't dead, with at most FAINT photons per pixel: bool (chip,)."""
        sums = (by_chip(maps * self.good, ASIC_SHAPE) for maps in (self.true, self.photons.frames))
        photons, samples = (maps.sum(axis=(0, 2)) for maps in sums)
        return (samples > 0) & (photons <= FAINT * samples)


def _trains(detector: Detector, task: Task) -> Iterator[CorrectedTrain]:
    """Trains of a corrected file, read with EXtra-data."""
    from extra_data import H5File

    about, group = task.about, detector.index_group
    source = detector.corrected_source.format(karabo_id=about["karabo_id"], module=about["module"])
    keys = [f"{group}.{name}" for name in ("data", "gain", detector.cell_key)]
    with H5File(task.outputs[0]) as run:
        for train_id, values in run.select([(source, key) for key in keys]).trains():
            if keys[0] in values[source]:
                data, gain, cells = (np.asarray(values[source][key]) for key in keys)
                shape = (-1, *detector.module_shape)
                yield CorrectedTrain(
                    int(train_id), cells.reshape(-1), data.reshape(shape), gain.reshape(shape)
                )
