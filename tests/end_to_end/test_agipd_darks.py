"""AGIPD's darks as a user makes them: commands from the simulation to constants in the store.

Not the easy case: trains have different numbers of frames, runs have two
sequences, and in one test a module is missing in one of the runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import calibook, characterise, failed, figures, simulate_runs, work_folder

from calibook.constants import Store
from calibook.files import read_json

pytestmark = pytest.mark.slow

STAGES = ("high", "medium", "low")
NAMES, THRESHOLDS = ("Offset", "Noise", "BadPixelsDark"), "ThresholdsDark"


@dataclass(frozen=True)
class Made:
    """Three dark runs and what was made of them."""

    raw: Path
    store: Store
    work: Path


def read(folder: Path, work: Path) -> Made:
    return Made(folder / "raw", Store(folder / "store"), work)


@pytest.fixture(scope="module")
def adaptive(agipd_darks) -> Made:
    return read(agipd_darks, work_folder(agipd_darks / "darks"))


@pytest.fixture(scope="module")
def fixed(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("fixed")
    of_all = ("--modules", 2, "--half-size", "true", "--memory-cells", 4, "--scene", "dark", "--trains", 60)
    modes = ("fixed-high", "fixed-medium", "fixed-low")
    runs = [("--run", run, "--gain-mode", mode, *of_all) for run, mode in enumerate(modes, 1)]
    simulate_runs("agipd", folder / "raw", runs)
    store = folder / "store"
    return read(folder, characterise(folder / "raw", folder / "darks", detector="agipd", store=store))


def test_a_module_that_a_run_lacks_is_told_and_the_other_is_done(agipd_darks, tmp_path):
    for path in (agipd_darks / "raw").glob("r*/*.h5"):
        if not path.name.startswith("RAW-R0002-AGIPD00"):
            (tmp_path / "raw" / path.parent.name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "raw" / path.parent.name / path.name).symlink_to(path)
    work = characterise(
        tmp_path / "raw", tmp_path / "darks", detector="agipd", store=tmp_path / "store", expect=1
    )
    plan = read_json(work / "plan.json")["plan"]
    assert [task["name"] for task in plan["tasks"]] == ["AGIPD03"]
    assert plan["problems"] == {"AGIPD00": "no file in run 2"}
    assert len(plan["tasks"][0]["inputs"]) == 3 * 2
    assert failed(figures(work)) == ["files_unusable"]
    assert {constant.calibration for constant in Store(tmp_path / "store").entries()} == {*NAMES, THRESHOLDS}


def test_the_darks_are_the_true_ones(adaptive):
    """Goals: bad pixels above 99 %. The noise of some 75 frames is known to 8 % by pixel, far
    better as a median; ASICs share shifts of 9 ADU, so offsets are off by 9 / sqrt(75 * 4 * 16)
    = 0.13 ADU, one sigma, and rows of cells, all four in one, by 4 / sqrt(100 * 16) = 0.1 ADU."""
    found = {name: figure["value"] for name, figure in figures(adaptive.work).items()}
    print(*(f"{name:32} {value:+.5f}" for name, value in found.items() if "truth" in name), sep="\n")
    assert found["truth_bad_pixel_precision"] > 0.99
    assert found["truth_bad_pixel_recall"] > 0.99
    for stage in STAGES:
        assert abs(found[f"truth_noise_ratio_{stage}"] - 1) < 0.03
        assert abs(found[f"truth_offset_bias_adu_{stage}"]) < 4 * 0.17
    assert not failed(figures(adaptive.work))


@pytest.mark.parametrize("which", ["adaptive", "fixed"])
def test_constants_have_the_conditions_that_extra_finds_in_the_run(request, which):
    """Fixed gain: the run's mode is among those that the constants were put for."""
    from extra.calibration import AGIPDConditions
    from extra_data import RunDirectory

    made = request.getfixturevalue(which)
    control, modules = ("SPB_IRU_AGIPD1M1", 16) if which == "adaptive" else ("HED_EXP_AGIPD500K2G", 8)
    name = read_json(made.work / "plan.json")["plan"]["tasks"][0]["about"]["karabo_id"]
    with RunDirectory(made.raw / "r0001") as data:
        theirs = AGIPDConditions.from_data(
            data,
            name,
            fpga_comp=f"{control}/MDL/FPGA_COMP",
            mpod=f"{control[:-1]}/PSC/HV",
            fpga_control=[f"{control}/FPGA/M_{i}" for i in range(modules)],
            xtdf=[f"{name}/DET/{i}CH0:xtdf" for i in range(modules)],
        )
    names = [*NAMES] + [THRESHOLDS] * (which == "adaptive")
    assert {constant.calibration for constant in made.store.entries()} == {*names}
    for name in names:
        expected = theirs.make_dict(theirs.calibration_types[name])
        put = [
            {condition.name: condition.value for condition in constant.conditions}
            for constant in made.store.entries()
            if constant.calibration == name
        ]
        assert expected in put
        assert len(put) == (2 if which == "adaptive" else 3)  # of two modules; of three modes


def test_fixed_gain_has_no_thresholds_and_true_darks(fixed):
    found = figures(fixed.work)
    assert "gain_separation_high_medium" not in found and "frames_used" in found
    assert found["truth_bad_pixel_precision"]["value"] > 0.99
    assert found["truth_bad_pixel_recall"]["value"] > 0.99
    assert not failed(found)


def test_fixed_gain_in_another_order_is_refused_before_anything_runs(fixed, tmp_path):
    where = ("--in-folder", fixed.raw, "--out-folder", tmp_path / "darks")
    swapped = ("--run-high", 1, "--run-medium", 3, "--run-low", 2)
    ended = calibook("agipd", "dark", *where, *swapped, store=tmp_path / "store", expect=2)
    assert "run 3, given for medium, was taken with gain mode 3, not 2" in ended.err
    assert not (tmp_path / "darks").exists()
