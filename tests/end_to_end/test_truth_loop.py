"""Simulate, characterise, correct, compare with the truth: the figures that calibration is judged by.

The limits are the project's goals. The figures are printed (pytest -s), and
are those of the verdict's page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import characterise, correct, figures, put_true_gain, simulate

pytestmark = pytest.mark.slow

STAGES = ("g0", "g1", "g2")


def truth_figures(folder: Path, unit: tuple[object, ...], **run: Any) -> dict[str, float]:
    """What the verdicts of darks and correction of a simulated detector say about the truth.

    unit: options of the correction
    """
    raw, store = folder / "raw", folder / "store"
    simulate(raw, **run)
    verdicts = [figures(characterise(raw, folder / "darks", store=store))]
    put_true_gain(raw, "JNGFR01", store=store)
    verdicts.append(figures(correct(raw, 4, folder / "proc", *unit, store=store)))
    found = {
        name: figure["value"]
        for verdict in verdicts
        for name, figure in verdict.items()
        if name.startswith("truth_")
    }
    print(*(f"{name:30} {value:+.6f}" for name, value in found.items()), sep="\n")
    failed = [name for verdict in verdicts for name, figure in verdict.items() if figure["status"] == "fail"]
    assert not failed, f"the verdict itself says that these fail: {failed}"
    return found


@pytest.fixture(scope="module")
def single_cell(big_folder) -> dict[str, float]:
    unit, options = ("--unit", "photons"), ("--modules", 1, "--seed", 7)
    return truth_figures(big_folder / "single", unit, dark_trains=200, trains=200, options=options)


def test_offsets_are_the_true_ones(single_cell):
    assert all(abs(single_cell[f"truth_offset_bias_adu_{stage}"]) < 0.1 for stage in STAGES)


def test_noise_is_the_true_one(single_cell):
    assert all(abs(single_cell[f"truth_noise_ratio_{stage}"] - 1) < 0.03 for stage in STAGES)


def test_bad_pixels_are_found_and_good_ones_left_alone(single_cell):
    assert single_cell["truth_bad_pixel_precision"] > 0.99
    assert single_cell["truth_bad_pixel_recall"] > 0.99


def test_photons_are_the_true_ones_in_each_gain_stage(single_cell):
    assert all(abs(single_cell[f"truth_photon_bias_{stage}"]) < 1e-3 for stage in STAGES)


def test_burst_mode_has_constants_for_each_memory_cell(big_folder):
    """16 cells with 16 dark frames each: the median of noises from 16 frames is 2 % below the true one.

    Energies in keV are right whatever photon energy is given: nothing is counted.
    """
    unit = ("--unit", "keV", "--photon-energy", 12.4)
    options = ("--modules", 1, "--seed", 7, "--burst", "true")
    found = truth_figures(big_folder / "burst", unit, dark_trains=16, trains=3, options=options)
    for stage in STAGES:
        assert abs(found[f"truth_offset_bias_adu_{stage}"]) < 0.1
        assert abs(found[f"truth_noise_ratio_{stage}"] - 1) < 0.03
        assert abs(found[f"truth_photon_bias_{stage}"]) < 1e-3
    assert found["truth_bad_pixel_precision"] > 0.99
    assert found["truth_bad_pixel_recall"] > 0.99
