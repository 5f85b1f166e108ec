"""AGIPD's darks as a user makes them: commands from the simulation to constants in the store.

Not the easy case: trains have different numbers of frames, runs have two
sequences, and one module is missing in one of the runs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import calibook, figures, work_folder

from calibook.constants import Store
from calibook.files import read_json

pytestmark = pytest.mark.slow

RUNS = ("--run-high", 1, "--run-medium", 2, "--run-low", 3)
ADAPTIVE = ("adaptive", "forced-medium", "forced-low")
FIXED = ("fixed-high", "fixed-medium", "fixed-low")
STAGES = ("high", "medium", "low")


@dataclass(frozen=True)
class Made:
    """Three dark runs and what was made of them."""

    raw: Path
    store: Store
    work: Path


def simulate(raw: Path, modes: tuple[str, ...], modules: tuple[str, ...], *options: object) -> None:
    def one(run: int) -> None:
        which = ("--run", run, "--gain-mode", modes[run - 1], "--modules", modules[run - 1])
        where = ("--out-folder", raw, "--scene", "dark", "--memory-cells", 4, "--no-report")
        calibook("simulate", "agipd", *where, *which, *options)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, (1, 2, 3)))


def characterise(folder: Path, expect: int = 0) -> Made:
    where = ("--in-folder", folder / "raw", "--out-folder", folder / "darks")
    calibook("agipd", "dark", *where, *RUNS, "--no-report", store=folder / "store", expect=expect)
    return Made(folder / "raw", Store(folder / "store"), work_folder(folder / "darks"))


def failed(made: Made) -> list[str]:
    """Figures that fail."""
    return [name for name, figure in figures(made.work).items() if figure["status"] == "fail"]


@pytest.fixture(scope="module")
def adaptive(big_folder) -> Made:
    options = ("--trains", 100, "--fewest-frames", 2, "--trains-per-sequence", 60, "--lost-trains", 7)
    simulate(big_folder / "raw", ADAPTIVE, ("0,3", "3", "0,3"), *options)
    return characterise(big_folder, expect=1)


@pytest.fixture(scope="module")
def fixed(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("fixed")
    simulate(folder / "raw", FIXED, ("2", "2", "2"), "--trains", 60, "--half-size", "true")
    return characterise(folder)


def test_a_module_that_a_run_lacks_is_told_and_the_other_is_done(adaptive):
    plan = read_json(adaptive.work / "plan.json")["plan"]
    assert [task["name"] for task in plan["tasks"]] == ["AGIPD03"]
    assert plan["problems"] == {"AGIPD00": "no file in run 2"}
    assert len(plan["tasks"][0]["inputs"]) == 3 * 2


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
    assert failed(adaptive) == ["files_unusable"]


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
    names = ["Offset", "Noise", "BadPixelsDark"] + ["ThresholdsDark"] * (which == "adaptive")
    assert {constant.calibration for constant in made.store.entries()} == {*names}
    for name in names:
        expected = theirs.make_dict(theirs.calibration_types[name])
        put = [
            {condition.name: condition.value for condition in constant.conditions}
            for constant in made.store.entries()
            if constant.calibration == name
        ]
        assert expected in put
        assert len(put) == (1 if which == "adaptive" else 3)


def test_fixed_gain_has_no_thresholds_and_true_darks(fixed):
    found = figures(fixed.work)
    assert "gain_separation_high_medium" not in found and "frames_used" in found
    assert found["truth_bad_pixel_precision"]["value"] > 0.99
    assert found["truth_bad_pixel_recall"]["value"] > 0.99
    assert failed(fixed) == []


def test_fixed_gain_in_another_order_is_refused_before_anything_runs(fixed, tmp_path):
    where = ("--in-folder", fixed.raw, "--out-folder", tmp_path / "darks")
    swapped = ("--run-high", 1, "--run-medium", 3, "--run-low", 2)
    ended = calibook("agipd", "dark", *where, *swapped, store=tmp_path / "store", expect=2)
    assert "run 3, given for medium, was taken with gain mode 3, not 2" in ended.err
    assert not (tmp_path / "darks").exists()
