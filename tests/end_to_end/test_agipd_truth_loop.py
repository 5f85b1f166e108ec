"""AGIPD at the size that the project is judged by: commands from photons to the verdict.

Takes an hour or two and 30 GB, so it has a command of its own: `make truth`. The
same loop on a few memory cells is part of the suite, see `test_agipd.py`. The
limits are the project's goals; those of the verdicts are the same, and hold for all
stages in all scenes. Tasks also tell how much memory they took.

The scan of the pulsed capacitor would be 80 GB at this size: here its constant
is the true one, and the scan itself is judged in `test_agipd_scans.py`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from agipd_constants import put_true_constants
from commands import calibook, figures, work_folder

from calibook.jobs.state import read_attempts

pytestmark = pytest.mark.truth

KARABO_ID = "SPB_DET_AGIPD1M-1"
STAGES = ("high", "medium", "low")
MODES = ("adaptive", "forced-medium", "forced-low")
FLAT, RINGS, FAINT, ADVERSE = 4, 5, 6, 7
# Of 150 photons per pixel none is dark: the baseline's shift with light has to be known, here
# -0.01 ADU per keV with 7 ADU per keV.
BRIGHT = ("--unit", "photons", "--cm-per-light", -0.01 / 7)
GIB = 1024  # tasks tell their memory in MB of 1024² bytes


class Loop:
    """A simulated detector in a folder; each step leaves its truth figures in `found`."""

    def __init__(self, folder: Path, modules: str, cells: int):
        self.raw, self.folder, self.store = folder / "raw", folder, folder / "store"
        self.modules, self.cells = modules, cells
        self.found: dict[str, float] = {}
        self.failed: list[str] = []

    def simulate(self, run: int, trains: int, scene: str, *options: object) -> None:
        what = ("--run", run, "--trains", trains, "--scene", scene, "--modules", self.modules)
        calibook(
            "simulate", "agipd", "--out-folder", self.raw, "--no-report",
            "--memory-cells", self.cells, *what, *options,
        )  # fmt: skip

    def procedure(self, name: str, prefix: str, *options: object) -> None:
        """Run a procedure; keep its figures about the truth, and which of them its verdict fails."""
        out = self.folder / prefix
        where = ("--in-folder", self.raw, "--out-folder", out)
        calibook("agipd", name, *where, "--no-report", *options, store=self.store)
        work = work_folder(out)
        self.found[f"{prefix}_memory"] = memory(work)
        print(f"{prefix}: tasks took up to {memory(work):.0f} MB")
        verdict = figures(work)
        told = {k: f for k, f in verdict.items() if k.startswith("truth_")}
        print(*(f"{prefix} {k:40} {f['value']:+.6f} {f['status']}" for k, f in told.items()), sep="\n")
        self.found |= {f"{prefix}_{k.removeprefix('truth_')}": f["value"] for k, f in told.items()}
        self.failed += [f"{prefix} {k}: {f['value']:+.6f}" for k, f in told.items() if f["status"] == "fail"]

    def flat_field(self, trains: int, intensity: float) -> None:
        """One gain for all memory cells, from 1000 photons per pixel."""
        assert 900 < self.cells * trains * intensity < 1100
        self.simulate(FLAT, trains, "flat", "--intensity", intensity, "--photon-energy", 8.048)
        self.procedure("flatfield", "flat", "--runs", FLAT, "--per-cell", "false")
        self.forget(FLAT)

    def forget(self, *runs: int) -> None:
        """Remove raw files; their truth stays."""
        for run in runs:
            shutil.rmtree(self.raw / f"r{run:04d}")

    def darks(self, trains: int) -> None:
        for run, mode in enumerate(MODES, 1):
            self.simulate(run, trains, "dark", "--gain-mode", mode)
        self.procedure("dark", "dark", "--run-high", 1, "--run-medium", 2, "--run-low", 3)
        self.forget(2, 3)
        # Darks tell the conditions of the scan's constant, too.
        numbers = tuple(map(int, self.modules.split(",")))
        put_true_constants(self.raw, self.store, KARABO_ID, numbers, ("SlopesPC",), run=1)
        self.forget(1)


def memory(work: Path) -> float:
    """Most memory that a task of a request took, with all of its processes: MB."""
    attempts = [attempt for task in work.glob("tasks/*") for attempt in read_attempts(task)]
    return max(max(attempt.job_memory_mb, attempt.peak_memory_mb) for attempt in attempts)


@pytest.fixture(scope="module")
def many_trains(big_folder) -> Loop:
    """2 modules, 64 cells, 200 trains."""
    loop = Loop(big_folder / "many_trains", "0,1", 64)
    loop.darks(200)
    loop.flat_field(200, 0.08)
    loop.simulate(RINGS, 200, "rings")
    loop.procedure("correct", "rings", "--run", RINGS, *BRIGHT)
    loop.forget(RINGS)
    # Just below one photon, up to which the common mode has to be found.
    loop.simulate(FAINT, 50, "flat", "--intensity", 0.95)
    loop.procedure("correct", "faint", "--run", FAINT, "--unit", "photons")
    loop.forget(FAINT)
    loop.simulate(ADVERSE, 20, "adverse")
    loop.procedure("correct", "adverse", "--run", ADVERSE, *BRIGHT)
    return loop


@pytest.fixture(scope="module")
def all_cells(big_folder) -> Loop:
    """1 module, 352 cells, few trains: the constants are what is large here."""
    loop = Loop(big_folder / "all_cells", "0", 352)
    loop.darks(24)
    loop.flat_field(30, 0.095)
    loop.simulate(RINGS, 12, "rings")
    loop.procedure("correct", "rings", "--run", RINGS, *BRIGHT)
    return loop


@pytest.mark.parametrize("size", ["many_trains", "all_cells"])
def test_the_verdicts_pass(size, request):
    assert not request.getfixturevalue(size).failed


@pytest.mark.parametrize("size", ["many_trains", "all_cells"])
def test_bad_pixels_are_found_and_good_ones_left_alone(size, request):
    found = request.getfixturevalue(size).found
    assert found["dark_bad_pixel_precision"] > 0.99
    assert found["dark_bad_pixel_recall"] > 0.99


@pytest.mark.parametrize("size", ["many_trains", "all_cells"])
def test_gain_stages_are_the_true_ones(size, request):
    assert request.getfixturevalue(size).found["rings_wrong_stage"] < 1e-4


@pytest.mark.parametrize("size", ["many_trains", "all_cells"])
@pytest.mark.parametrize(("stage", "limit"), [("high", 1e-3), ("medium", 5e-3)])
def test_photons_are_the_true_ones(size, stage, limit, request):
    assert abs(request.getfixturevalue(size).found[f"rings_photon_bias_{stage}"]) < limit


def test_photons_in_low_gain_are_the_true_ones(many_trains):
    assert abs(many_trains.found["adverse_photon_bias_low"]) < 1e-2


@pytest.mark.parametrize("size", ["many_trains", "all_cells"])
def test_gains_of_the_flat_field_are_the_true_ones(size, request):
    found = request.getfixturevalue(size).found
    assert abs(found["flat_gain_bias"]) < 3e-3
    assert 0.9 < found["flat_gain_pull_width"] < 1.1


def test_single_photons_are_counted_as_well_as_the_noise_allows(many_trains):
    assert many_trains.found["faint_false_photons_ratio"] == pytest.approx(1, abs=0.1)
    assert many_trains.found["faint_lost_photons_ratio"] == pytest.approx(1, abs=0.1)


def test_common_mode_is_taken_out(many_trains):
    assert many_trains.found["faint_shift_variance_left"] < 0.05


@pytest.mark.parametrize("size", ["many_trains", "all_cells"])
def test_corrections_take_less_than_four_gigabytes(size, request):
    found = request.getfixturevalue(size).found
    assert found["rings_memory"] < 4 * GIB
