"""What AGIPD's darks leave for the summary, and the figures made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibook.calibration.agipd.dark_results import (
    DARK_GOALS,
    agipd_dark_figures,
    agipd_dark_results,
    threshold_truth,
)
from calibook.calibration.agipd.darks import AgipdDarks
from calibook.calibration.summaries.truth import truth_figures
from calibook.detectors.agipd import AGIPD
from calibook.procedures.tasks import Task

CELLS = 2
SHAPE = (CELLS, 3, 64, 128)  # two chips
TASK = Task("AGIPD07", {"module": 7, "unit": "UNIT"})


@pytest.fixture
def darks() -> AgipdDarks:
    rng = np.random.default_rng(3)
    stage = np.array([0, 2000, 3000], "f4")[:, None, None]
    level = np.array([5750, 6900, 7900], "f4")[:, None, None]
    return AgipdDarks(
        offset=(4950 + stage + rng.normal(0, 50, SHAPE)).astype("f4"),
        noise=rng.normal(8, 0.5, SHAPE).astype("f4"),
        level=np.broadcast_to(level, SHAPE).copy(),
        spread=np.full(SHAPE, 40, "f4"),
        bad=np.zeros(SHAPE, "u4"),
        frames=(200, 190, 180),
        fixed_gain=False,
    )


def figures_of(darks, previous=None):
    result = agipd_dark_results(TASK, darks, previous or {})
    return {figure.name: figure for figure in agipd_dark_figures(AGIPD, {"AGIPD07": result}, 5.0)}


def test_figures_of_good_darks_pass(darks):
    found = figures_of(darks)
    assert found["frames_used"].value == 180
    np.testing.assert_allclose(found["offset_medium"].value, 6950, atol=5)  # median of thousands, 50 ADU
    # Levels differ by 1150 and 1000 ADU, each known to 40 ADU
    assert found["gain_separation_high_medium"].value == pytest.approx(1150 / (40 * 2**0.5))
    assert found["gain_separation_medium_low"].value == pytest.approx(1000 / (40 * 2**0.5))
    assert {figure.status for figure in found.values()} <= {"pass", "info"}
    assert not [name for name in found if name.startswith("wrong_gain")]


def test_levels_too_near_in_one_cell_fail(darks):
    darks.level[1, 2] = darks.level[1, 1] + 250
    found = figures_of(darks)
    assert found["gain_separation_medium_low"].status == "fail"
    assert found["gain_separation_high_medium"].status == "pass"


def test_a_dead_asic_is_counted_once_and_only_if_dead_in_all_cells(darks):
    darks.bad[:, :, :, 64:] = 1
    assert (figures_of(darks)["dead_asics"].value, figures_of(darks)["dead_asics"].status) == (1, "warn")
    darks.bad[1] = 0
    assert figures_of(darks)["dead_asics"].value == 0


def test_change_since_the_previous_constants(darks):
    """In double precision and of the same shape; those of another number of cells tell nothing."""
    previous = {"Offset": darks.offset.astype("f8") - 3, "Noise": darks.noise[:1], "ThresholdsDark": None}
    result = agipd_dark_results(TASK, darks, previous)
    np.testing.assert_allclose(result["offset_change"], 3)
    assert result["offset_shift"].shape == (CELLS, 3) and "noise_change" not in result
    assert figures_of(darks, previous)["offset_shift_high"].value == pytest.approx(3)


def test_fixed_gain_has_nothing_to_tell_apart(darks):
    found = figures_of(replace(darks, fixed_gain=True))
    assert not [name for name in found if name.startswith("gain_separation")]


class Truth:
    """Levels as in `darks`; one pixel has a defect."""

    def gain_level(self, stage):
        return np.full((CELLS, *SHAPE[2:]), (5750, 6900, 7900)[stage], "f4")

    def good_pixels(self):
        good = np.ones(SHAPE[2:], bool)
        good[0, 0] = False
        return good


def test_thresholds_are_held_against_the_truth(darks, monkeypatch):
    monkeypatch.setattr("calibook.calibration.agipd.dark_results.true_module", lambda *_: Truth())
    darks.level[:, 1] += 3  # half of that moves each threshold
    darks.level[:, 2, :32] += 20
    darks.level[:, :, 0, 0] = 0
    darks.level[1, :, 1, 1] = np.nan
    found = threshold_truth("", 1, TASK, darks, AGIPD.gain_stages)
    assert found["truth_threshold_bias_adu_high_medium"] == pytest.approx(1.5)
    assert found["truth_threshold_spread_adu_high_medium"] == pytest.approx(0, abs=1e-3)
    assert found["truth_threshold_bias_adu_medium_low"] == pytest.approx(1.5 + 5, abs=0.01)
    assert found["truth_threshold_spread_adu_medium_low"] == pytest.approx(5, abs=0.01)
    statuses = {figure.name: figure.status for figure in truth_figures([found], DARK_GOALS)}
    assert statuses["truth_threshold_bias_adu_high_medium"] == "fail"
    assert statuses["truth_threshold_spread_adu_medium_low"] == "pass"
    assert threshold_truth("", 1, TASK, replace(darks, fixed_gain=True), AGIPD.gain_stages) == {}
