"""Plans of simulations promise what is then written."""

from __future__ import annotations

import pytest

from calibook.calibration.planning.resources import raw_size_mb
from calibook.calibration.planning.simulations import plan_simulation
from calibook.detectors.agipd import AGIPD, AGIPD_500K
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.simulation.agipd import simulate_run as simulate_agipd
from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.jungfrau import simulate_run as simulate_jungfrau
from calibook.simulation.jungfrau_settings import JungfrauSettings


def written(folder):
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def test_jungfrau_s_files_are_those_of_the_plan(tmp_path):
    settings = JungfrauSettings(run=7, trains=3, modules=2, trains_per_sequence=2, scene="dark")
    plan = plan_simulation(JUNGFRAU, settings, out_folder=str(tmp_path), modules=settings.module_numbers)
    assert not written(tmp_path)
    simulate_jungfrau(tmp_path, settings)
    assert {*plan.tasks[0].outputs} == written(tmp_path)
    assert len(plan.tasks[0].outputs) == 2 * 3 + 2  # sequences, of two modules and a device; truth


def test_agipd_s_files_are_those_of_the_plan(tmp_path):
    settings = AgipdSettings(
        run=7, trains=4, modules=(1, 5), memory_cells=4, lost_trains=(0,), trains_per_sequence=2,
        scene="dark", half_size=True,
    )  # fmt: skip
    plan = plan_simulation(AGIPD_500K, settings, out_folder=str(tmp_path), modules=settings.modules)
    simulate_agipd(tmp_path, settings)
    assert {*plan.tasks[0].outputs} == written(tmp_path)
    assert plan.facts["detector"] == "HED_DET_AGIPD500K2G (AGIPD_500K2G)"
    # 3 trains of 4 frames of 2 modules, 2 planes of 16 bits
    assert plan.space_mb == 3 * 4 * 2 * 512 * 128 * 2 * 2 >> 20 == 6


def test_memory_is_of_the_modules_that_are_simulated_together(tmp_path, monkeypatch):
    settings = JungfrauSettings(run=7, trains=1, modules=3, burst=True)
    needed = {}
    for threads in (1, 2, 8):
        monkeypatch.setenv("CALIBOOK_THREADS", str(threads))
        plan = plan_simulation(JUNGFRAU, settings, out_folder=str(tmp_path), modules=settings.module_numbers)
        needed[threads] = plan.tasks[0].memory_mb
    of_one = needed[2] - needed[1]
    # Offset, gain (f4) and bad pixels (u4) of 16 cells and 3 stages alone are this much.
    assert of_one > 16 * 3 * 512 * 1024 * 12 >> 20
    assert needed[8] - needed[1] == pytest.approx(2 * of_one, abs=1)


def test_sizes_count_all_that_a_frame_has():
    assert raw_size_mb(JUNGFRAU, 8) == 8 * 512 * 1024 * 3 >> 20
    assert raw_size_mb(AGIPD, 64) == 64 * 512 * 128 * 4 >> 20
