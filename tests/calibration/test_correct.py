"""A raw file corrected from pinned constants, against the formula; and what it leaves for the summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibook.calibration.correct import CommonMode, Correction, correct_file
from calibook.calibration.load import combine_bad_pixels, load_constants
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadInput, ConstantDamaged, NoConstants
from calibook.kernels.packing import pack_constants

RANGES = ((-20.0, 330.0), (-200.0, 1e4), (-2e3, 1.4e5))
RNG = np.random.default_rng(11)
STATIC = np.zeros((16, 64), "u4")


def constants(cells: int = 1) -> dict[str, np.ndarray]:
    shape = (cells, 3, 16, 64)
    level = np.array([2900.0, 14200, 14200]).reshape(1, 3, 1, 1)
    slope = np.array([41.5, -1.39, -0.11]).reshape(1, 3, 1, 1)
    bad = (RNG.random(shape) < 0.05).astype("u4") * int(BadPixels.NOISE_OUT_OF_THRESHOLD)
    return {
        "Offset10Hz": level + RNG.normal(0, 50, shape),
        "RelativeGain10Hz": slope * RNG.normal(1, 0.03, shape),
        "BadPixelsDark10Hz": bad,
    }


def planned(world, given, frames=1, trains=5, cells=None):
    """A run with random samples and a plan for it; returns (plan, adc, stage)."""
    adc = RNG.integers(1, 16383, (trains, frames, 16, 64))
    stage = RNG.choice(3, adc.shape, p=[0.9, 0.07, 0.03])
    world.write_run(4, adc, stage, cells=cells)
    for name, array in given.items():
        world.put(name, array)
    return world.plan_correction(dict.fromkeys(given, True)), adc, stage


def correction(given, **options) -> Correction:
    packed = pack_constants(
        given["Offset10Hz"],
        given["RelativeGain10Hz"],
        combine_bad_pixels(given, ["BadPixelsDark10Hz"], STATIC),
    )
    return Correction(packed, RANGES, **options)


def written(task) -> dict[str, np.ndarray]:
    with h5py.File(task.outputs[0]) as f:
        group = f["INSTRUMENT/FXE_XAD_JF1M/CORR/JNGFR01:daqOutput/data"]
        return {name: group[name][()] for name in ("adc", "gain", "mask")}


def expected(given, adc, stage, cells) -> tuple[np.ndarray, np.ndarray]:
    """(data f8, mask) straight from the formula."""
    pick = np.ix_(range(16), range(64))
    data, mask = np.empty(adc.shape), np.empty(adc.shape, "u4")
    for t, f in np.ndindex(adc.shape[:2]):
        s = stage[t, f]
        maps = {name: np.choose(s, list(array[cells[f]])) for name, array in given.items()}
        data[t, f] = ((adc[t, f] - maps["Offset10Hz"]) / maps["RelativeGain10Hz"])[pick]
        mask[t, f] = maps["BadPixelsDark10Hz"]
    return data, mask


@pytest.mark.parametrize("frames", [1, 16])
def test_data_gain_and_mask_follow_the_formula(world, frames):
    given = constants(frames)
    cells = (np.arange(frames) + 15) % frames if frames > 1 else np.array([0])
    plan, adc, stage = planned(world, given, frames, cells=cells if frames > 1 else np.array([15]))
    loaded = load_constants(plan, plan.tasks[0], world.detector)
    np.testing.assert_array_equal(loaded["Offset10Hz"], given["Offset10Hz"])
    results = correct_file(world.detector, plan.tasks[0], correction(loaded), threads=2)
    file, (data, mask) = written(plan.tasks[0]), expected(given, adc, stage, cells)
    # Offsets are rounded to float32: 1e-3 ADU at 14200 ADU, divided by the smallest gain.
    np.testing.assert_allclose(file["adc"], data, rtol=1e-6, atol=0.01)
    np.testing.assert_array_equal(file["gain"], stage)
    np.testing.assert_array_equal(file["mask"], mask)
    assert (results["trains"], results["frames"]) == (5, 5 * frames)
    assert list(results["stage_counts"]) == [np.count_nonzero(stage == s) for s in range(3)]
    good = np.where(mask == 0, file["adc"].astype("f8"), np.nan).reshape(-1, 16, 64)
    seen = np.isfinite(good).any(axis=0)
    np.testing.assert_allclose(results["mean"][seen], np.nanmean(good[:, seen], axis=0), rtol=1e-6)
    assert np.isnan(results["mean"][~seen]).all()
    np.testing.assert_allclose(results["signals"], np.nanmean(good, axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(results["bad_fraction"], np.mean(mask != 0))


def test_the_file_does_not_depend_on_threads(world):
    given = constants()
    plan, *_ = planned(world, given, trains=37)
    contents = []
    for threads in (1, 4):
        correct_file(world.detector, plan.tasks[0], correction(given), threads=threads)
        contents.append(Path(plan.tasks[0].outputs[0]).read_bytes())
    assert contents[0] == contents[1]


def test_masks_become_nan_and_values_are_kept_otherwise(world):
    given = constants()
    plan, *_ = planned(world, given)
    bits = int(BadPixels.NOISE_OUT_OF_THRESHOLD)
    correct_file(world.detector, plan.tasks[0], correction(given, nan_bits=bits))
    file = written(plan.tasks[0])
    np.testing.assert_array_equal(np.isnan(file["adc"]), (file["mask"] & bits) != 0)
    correct_file(world.detector, plan.tasks[0], correction(given))
    assert np.isfinite(written(plan.tasks[0])["adc"]).all()


def test_photons_are_rounded_to_whole_numbers(world):
    given = constants()
    plan, *_ = planned(world, given)
    correct_file(world.detector, plan.tasks[0], correction(given, rounding_threshold=0.5))
    data = written(plan.tasks[0])["adc"]
    assert np.array_equal(data, np.floor(data)) and data.min() >= 0


def test_common_mode_of_rows_is_removed_from_dark_pixels(world):
    given = {**constants(), "BadPixelsDark10Hz": np.zeros((1, 3, 512, 64), "u4")}
    world = replace(world, detector=replace(world.detector, module_shape=(512, 64)))
    given["Offset10Hz"] = np.full((1, 3, 512, 64), 3000.0)
    given["RelativeGain10Hz"] = np.ones((1, 3, 512, 64))
    shifts = RNG.integers(-20, 21, (4, 1, 512, 1))
    world.write_run(4, 3000 + shifts + np.zeros((4, 1, 512, 64), int), np.zeros((4, 1, 512, 64), int))
    for name, array in given.items():
        world.put(name, array)
    plan = world.plan_correction(dict.fromkeys(given, True))
    packed = pack_constants(given["Offset10Hz"], given["RelativeGain10Hz"])
    for options, spread in ((None, shifts.std()), (CommonMode(), 0.0)):
        correct_file(world.detector, plan.tasks[0], Correction(packed, RANGES, common_mode=options))
        np.testing.assert_allclose(written(plan.tasks[0])["adc"].std(), spread, atol=1e-6)


def test_a_task_without_its_constants_says_which(world):
    given = constants()
    plan, *_ = planned(world, given)
    task = plan.tasks[0]
    task.about["missing_constants"] = {"Offset10Hz": "none for these conditions"}
    with pytest.raises(NoConstants, match="Offset10Hz: none for these conditions"):
        load_constants(plan, task, world.detector)


def test_a_constant_of_another_shape_or_a_changed_one_is_refused(world):
    given = constants()
    plan, *_ = planned(world, given)
    with pytest.raises(BadInput, match="is for"):
        load_constants(plan, plan.tasks[0], replace(world.detector, module_shape=(8, 8)))
    entry = plan.constants[0]
    with h5py.File(f"{entry['store']}/{entry['path']}", "r+") as f:
        f[f"{entry['dataset']}/data"][0, 0, 0, 0] += 1
    with pytest.raises(ConstantDamaged, match=str(entry["id"])):
        load_constants(plan, plan.tasks[0], world.detector)


def test_nothing_is_left_of_a_file_that_could_not_be_read(world):
    given = constants()
    plan, *_ = planned(world, given)
    raw = Path(plan.tasks[0].inputs[0])
    raw.write_bytes(raw.read_bytes()[:2000])
    with pytest.raises(BadInput, match=raw.name):
        correct_file(world.detector, plan.tasks[0], correction(given))
    assert not any((world.folder / "proc").glob("*"))


def test_whole_modules_give_the_same_bytes_for_all_threads_and_blocks(tmp_path, monkeypatch):
    """Frames of full size, which are written past the page cache where that is possible."""
    from calibook.calibration import workers
    from calibook.detectors.jungfrau import JUNGFRAU
    from calibook.procedures.tasks import Task
    from calibook.simulation.jungfrau import simulate_run
    from calibook.simulation.jungfrau_settings import JungfrauSettings

    settings = JungfrauSettings(run=4, trains=13, modules=1, lost_data=((1, 5),))
    raw = simulate_run(tmp_path / "raw", settings)[0]
    shape = (1, 3, *JUNGFRAU.module_shape)
    words = (RNG.random(shape) < 0.01).astype("u4") * int(BadPixels.NOISE_OUT_OF_THRESHOLD)
    level = np.array([2900.0, 14200, 14200]).reshape(1, 3, 1, 1)
    packed = pack_constants(level + RNG.normal(0, 50, shape), np.full(shape, 40.0), words)
    target = tmp_path / "proc" / "CORR-R0004-JNGFR01-S00000.h5"
    task = Task(
        "one", {"karabo_id": settings.karabo_id, "module": 1, "sequence": 0}, [str(raw)], [str(target)]
    )
    found = []
    for threads, megabytes, direct in (
        (1, 64, True),
        (4, 64, True),
        (1, 0, True),
        (2, 1024, True),
        (2, 64, False),
    ):
        monkeypatch.setattr(workers, "BUFFERED_BYTES", megabytes << 20)
        if not direct:
            monkeypatch.delattr("os.O_DIRECT")
        results = correct_file(JUNGFRAU, task, Correction(packed, RANGES), threads=threads)
        found.append((target.read_bytes(), {k: v for k, v in results.items() if k != "seconds"}))
    assert len(found[0][0]) > 12 * 512 * 1024 * 4
    for content, results in found[1:]:
        assert content == found[0][0]
        for name, value in results.items():
            np.testing.assert_array_equal(value, found[0][1][name], err_msg=name)
