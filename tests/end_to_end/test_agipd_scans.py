"""AGIPD's gains as a user makes them: from simulated flat fields and scans to constants for corrections.

The limits are the project's goals: gains of a flat field unbiased within 0.3 %
with honest errors, ratios of the pulsed capacitor within 1 %. With charge
sharing, common mode, snow and defects, and without what the scan does not need:
pulses behind the jump, and every other one far out.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import calibook, failed, figures, work_folder

from calibook.calibration.agipd.constants import pack_agipd
from calibook.calibration.agipd.wanted import wanted_constants
from calibook.calibration.load import TaskConstants, load_constants
from calibook.calibration.planning.corrections import plan_correction
from calibook.detectors.agipd import AGIPD, SLOPES_PC
from calibook.files import read_json
from calibook.simulation.agipd import simulate_run
from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.truth_files import read_truth, truth_path

pytestmark = pytest.mark.slow

FLAT, SCAN = 4, range(20, 28)
SCAN_TRAINS = 560
SKIPPED = [*range(115, 256), *range(257, SCAN_TRAINS, 2)]
CELLS, MODULE_DA = 4, "AGIPD03"


@dataclass(frozen=True)
class Made:
    """Raw runs, the store, and the figures of both characterisations."""

    raw: Path
    store: Path
    flat: dict
    scan: dict

    @property
    def truth(self):
        return read_truth(truth_path(self.raw, FLAT, MODULE_DA))[0]


def simulate(raw: Path) -> None:
    """In this process: nine commands would take longer to start than to simulate."""
    of_all = {"modules": (3,), "memory_cells": CELLS, "seed": 1}  # the detector of the darks
    light = {"scene": "flat", "photon_energy": 8.048, "intensity": 0.7, "beta_share": 0.13}
    scan = {"scene": "dark", "trains": SCAN_TRAINS, "lost_trains": tuple(SKIPPED)}
    settings = [AgipdSettings(run=FLAT, trains=350, **light, **of_all)]
    settings += [AgipdSettings(run=run, scan_row=row, **scan, **of_all) for row, run in enumerate(SCAN)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(simulate_run, raw), settings))


@pytest.fixture(scope="module")
def made(big_folder, agipd_darks) -> Made:
    raw, store = big_folder / "raw", big_folder / "store"
    shutil.copytree(agipd_darks / "store", store)
    simulate(raw)
    copper = ("--second-line", 8.905, "--second-line-share", 0.13)
    found = {}
    for procedure, *options in (
        ("flatfield", "--runs", FLAT, "--per-cell", "false", *copper),
        ("pc", "--runs", f"{SCAN[0]}-{SCAN[-1]}"),
    ):
        where = ("--in-folder", raw, "--out-folder", big_folder / procedure)
        calibook("agipd", procedure, *where, *options, "--no-report", store=store)
        found[procedure] = figures(work_folder(big_folder / procedure))
    return Made(raw, store, found["flatfield"], found["pc"])


def test_gains_of_the_flat_field_are_the_true_ones(made):
    print({name: figure["value"] for name, figure in made.flat.items()})
    assert not failed(made.flat)
    assert abs(made.flat["truth_gain_bias"]["value"]) < 3e-3
    assert 0.9 < made.flat["truth_gain_pull_width"]["value"] < 1.1
    assert made.flat["truth_bad_pixel_precision"]["value"] > 0.99
    assert made.flat["truth_bad_pixel_recall"]["value"] > 0.99


def test_ratios_of_the_scan_are_the_true_ones(made):
    print({name: figure["value"] for name, figure in made.scan.items()})
    assert not failed(made.scan)
    assert abs(made.scan["truth_ratio_bias"]["value"]) < 0.01
    assert 0.9 < made.scan["truth_ratio_pull_width"]["value"] < 1.1
    assert made.scan["truth_bad_pixel_precision"]["value"] > 0.99
    assert made.scan["truth_bad_pixel_recall"]["value"] > 0.99


def test_a_correction_finds_and_takes_the_constants(made, tmp_path):
    plan = plan_correction(
        AGIPD, in_folder=str(made.raw), run=FLAT, out_folder=str(tmp_path), store=str(made.store),
        constants=lambda conditions: wanted_constants(conditions, True, True, True),
    )  # fmt: skip
    task = plan.tasks[0]
    constants = load_constants(plan, task, AGIPD)
    assert {"SlopesPC", "BadPixelsPC", "SlopesFF", "BadPixelsFF"} <= set(constants)
    assert constants["SlopesPC"].shape == (CELLS, len(SLOPES_PC), *AGIPD.module_shape)
    assert constants["SlopesFF"].shape == (1, 1, *AGIPD.module_shape)
    packed = pack_agipd(TaskConstants(plan, task, AGIPD), np.zeros(AGIPD.module_shape, "u4"))
    # ADU of a stage times the packed factor is keV: the inverse of the true slope.
    good = made.truth.good_pixels().ravel()
    for stage, within in ((0, 0.02), (1, 0.04), (2, 0.05)):
        scale = packed.scale[0, stage].ravel()[good]
        true = made.truth.gain(stage).mean(axis=0).ravel()[good]
        assert np.median(scale * true) == pytest.approx(1, abs=0.005)
        assert np.std(scale * true) < within


def test_the_conditions_are_those_of_the_facility(made):
    listed = [
        entry
        for procedure in ("flatfield", "pc")
        for file in sorted((made.raw.parent / procedure).glob("*.json"))
        for entry in read_json(file)["constants"]
    ]
    names = {entry["calibration"]: {c["name"] for c in entry["conditions"]} for entry in listed}
    scan = {
        "Sensor Bias Voltage", "Pixels X", "Pixels Y", "Memory cells", "Acquisition rate", "Gain setting",
    }  # fmt: skip
    assert names["SlopesPC"] == names["BadPixelsPC"] == scan
    assert names["SlopesFF"] == names["BadPixelsFF"] == {*scan, "Source energy"}


def test_a_scan_needs_eight_runs_and_darks(made, tmp_path):
    where = ("--in-folder", made.raw, "--out-folder", tmp_path)
    said = calibook("agipd", "pc", *where, "--runs", "20-26", expect=2, store=made.store)
    assert "a scan has eight runs" in said.err
    said = calibook("agipd", "pc", *where, "--runs", "20-27", expect=1, store=tmp_path / "empty")
    assert "ThresholdsDark" in said.err
    said = calibook("agipd", "pc", *where, "--runs", "20-26,20", expect=2, store=made.store)
    assert "each needs a run of its own" in said.err
