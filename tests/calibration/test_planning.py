"""Plans: which files, which constants, and what is refused before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.calibration.planning import resources
from calibook.calibration.planning.resources import task_threads
from calibook.calibration.workers import WORKERS_PER_THREAD, worker_threads
from calibook.errors import BadInput, BadParameter, NoConstants
from calibook.kernels.statistics import CorrectedStatistics

SHAPE = (3, 1, 16, 64)
WANTED = {"Offset10Hz": True, "BadPixelsDark10Hz": False}


def maps(value: float) -> np.ndarray:
    return np.full((1, 3, 16, 64), value)


def write_lit(world, run=4, **options) -> None:
    world.write_run(run, np.full(SHAPE, 3000), np.zeros(SHAPE, int), **options)


def test_one_task_per_file_with_the_constants_of_its_module(world):
    write_lit(world, modules=(1, 2))
    write_lit(world, modules=(1,), sequence=1)
    ids = {module: world.put("Offset10Hz", maps(2900.0 + module), module) for module in (1, 2)}
    plan = world.plan_correction(WANTED)
    assert [task.name for task in plan.tasks] == ["JNGFR01-S00000", "JNGFR01-S00001", "JNGFR02-S00000"]
    assert [[c["id"] for c in plan.constants_of(task)] for task in plan.tasks] == [
        [ids[1]],
        [ids[1]],
        [ids[2]],
    ]
    assert [c["karabo_da"] for c in plan.constants] == ["JNGFR01", "JNGFR02"]
    assert plan.tasks[2].outputs == [str(world.folder / "proc" / "CORR-R0004-JNGFR02-S00000.h5")]
    assert plan.conditions["Sensor Bias Voltage"] == "180 V"
    assert not (world.folder / "proc").exists()


def test_a_correction_needs_memory_for_each_of_its_threads(world, monkeypatch):
    write_lit(world)
    world.put("Offset10Hz", maps(2900))
    assert (task_threads(), resources._WORKERS_PER_THREAD) == (worker_threads(), WORKERS_PER_THREAD)
    needed = {}
    for threads in (1, 100, 200):
        monkeypatch.setenv("CALIBOOK_THREADS", str(threads))
        assert task_threads() == worker_threads() == threads
        needed[threads] = world.plan_correction(WANTED).tasks[0].memory_mb
    empty = CorrectedStatistics.zeros(16 * 64, 1, ((0, 1),) * 3)
    of_each = sum(array.nbytes for array in (empty.total, empty.count, empty.any_bits, empty.stage_sum))
    assert needed[200] - needed[100] == pytest.approx(100 * WORKERS_PER_THREAD * of_each / (1 << 20), abs=1)
    assert needed[1] < needed[100]


def test_modules_and_sequences_are_chosen(world):
    write_lit(world, modules=(1, 2))
    for module in (1, 2):
        world.put("Offset10Hz", maps(2900), module)
    assert [task.name for task in world.plan_correction(WANTED, modules=[2]).tasks] == ["JNGFR02-S00000"]
    with pytest.raises(BadParameter, match=r"modules"):
        world.plan_correction(WANTED, modules=[7])


def test_a_module_without_constants_does_not_stop_the_others(world):
    write_lit(world, modules=(1, 2))
    world.put("Offset10Hz", maps(2900), 1)
    first, second = world.plan_correction(WANTED).tasks
    assert first.about["missing_constants"] == {}
    assert "Offset10Hz" in second.about["missing_constants"]


def test_no_constants_at_all_is_said_before_anything_runs(world):
    write_lit(world, voltage=200)
    world.put("Offset10Hz", maps(2900))
    with pytest.raises(NoConstants, match="Sensor Bias Voltage"):
        world.plan_correction(WANTED)


def write_darks(world, **options) -> None:
    for run, mode in ((1, "dynamic"), (2, "forceswitchg1"), (3, "forceswitchg2")):
        world.write_run(run, np.full(SHAPE, 3000), np.full(SHAPE, run - 1), gain_mode=mode, **options)


def test_darks_have_a_task_per_module_over_three_runs(world):
    write_darks(world, modules=(1, 2))
    plan = world.plan_darks()
    assert [task.name for task in plan.tasks] == ["JNGFR01", "JNGFR02"]
    assert [path.split("/")[-2] for path in plan.tasks[0].inputs] == ["r0001", "r0002", "r0003"]
    assert plan.tasks[0].about["begin"].startswith("2025-01-01T00:01:00")


def test_a_module_that_a_dark_run_lacks_is_named_and_the_others_are_done(world):
    write_darks(world, modules=(1, 2))
    (world.folder / "raw" / "r0002" / "RAW-R0002-JNGFR02-S00000.h5").unlink()
    plan = world.plan_darks()
    assert [task.name for task in plan.tasks] == ["JNGFR01"]
    assert plan.problems == {"JNGFR02": "no file in run 2"}
    (world.folder / "raw" / "r0003" / "RAW-R0003-JNGFR01-S00000.h5").unlink()
    with pytest.raises(BadInput, match="no module has files in all dark runs"):
        world.plan_darks()


def test_the_previous_constant_is_one_before_the_darks(world):
    write_darks(world)
    world.put("Offset10Hz", maps(1), begin="2025-01-01T00:01:00")  # of these very darks
    assert world.plan_darks().constants == []
    earlier = world.put("Offset10Hz", maps(2), begin="2024-12-01")
    assert [c["id"] for c in world.plan_darks().constants] == [earlier]


def test_darks_of_different_conditions_are_refused(world):
    write_darks(world)
    world.write_run(3, np.full(SHAPE, 3000), np.full(SHAPE, 2), gain_mode="forceswitchg2", voltage=200)
    with pytest.raises(BadParameter, match=r"Sensor Bias Voltage: 180.0 and 200.0"):
        world.plan_darks()
    with pytest.raises(BadParameter, match="a run of its own"):
        world.plan_darks({"G0": 1, "G1": 1, "G2": 3})


def test_forced_switching_serves_dynamic_gain_and_fixed_gain_serves_itself(world):
    write_darks(world)
    (task,) = world.plan_darks().tasks
    assert [conditions.get("Gain mode") for conditions in task.about["valid_for"]] == [None]
    world.write_run(3, np.full(SHAPE, 3000), np.full(SHAPE, 2), gain_mode="fixg2")
    with pytest.raises(BadParameter, match="three runs of one kind"):
        world.plan_darks()
    world.write_run(2, np.full(SHAPE, 3000), np.full(SHAPE, 1), gain_mode="fixg1")
    (task,) = world.plan_darks().tasks
    assert [conditions.get("Gain mode") for conditions in task.about["valid_for"]] == [1.0, 2.0, 3.0]
    with pytest.raises(BadParameter, match="run 3, given for G1, was taken with gain mode 3, not 2"):
        world.plan_darks({"G0": 1, "G1": 3, "G2": 2})
