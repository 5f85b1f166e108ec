"""Darks of a small detector: exact numbers, per gain stage and memory cell."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.calibration.darks import characterise_darks
from calibook.calibration.made import made_constants, put_constants
from calibook.errors import BadInput

CODES = (0, 1, 3)
RNG = np.random.default_rng(5)


def write_darks(world, frames=1, trains=9, cells=None) -> list[np.ndarray]:
    """Random ADC values in the right gain stage but for one sample; returns what was written."""
    written = []
    for run, mode in ((1, "dynamic"), (2, "forceswitchg1"), (3, "forceswitchg2")):
        adc = RNG.integers(1000, 16000, (trains, frames, 16, 64))
        stage = np.full(adc.shape, run - 1)
        stage[0, 0, 0, 0] = (run - 1 + 1) % 3
        world.write_run(run, adc, stage, gain_mode=mode, cells=cells)
        written.append(adc)
    return written


def test_offset_and_noise_are_mean_and_unbiased_spread(world):
    written = write_darks(world)
    darks = characterise_darks(world.detector, world.plan_darks().tasks[0], CODES)
    assert darks.offset.shape == (1, 3, 16, 64)
    for stage, adc in enumerate(written):
        samples = adc[:, 0].astype("f8")
        # Integer sums; what is left is the rounding of one division and a root.
        np.testing.assert_allclose(darks.offset[0, stage, 1:], samples.mean(0)[1:], rtol=1e-14)
        np.testing.assert_allclose(darks.noise[0, stage, 1:], samples.std(0, ddof=1)[1:], rtol=1e-12)
        assert darks.wrong[0, stage, 0, 0] == 1 and darks.wrong[0, stage].sum() == 1
        np.testing.assert_allclose(darks.offset[0, stage, 0, 0], samples[1:, 0, 0].mean())
    assert darks.frames == (9, 9, 9)


def test_the_median_is_exact(world):
    written = write_darks(world, trains=8)
    darks = characterise_darks(world.detector, world.plan_darks().tasks[0], CODES, offset_by="median")
    np.testing.assert_array_equal(darks.offset[0, 1, 1:], np.median(written[1][:, 0], axis=0)[1:])


def test_burst_mode_is_taken_apart_by_memory_cell(world):
    cells = (np.arange(16) + 15) % 16
    written = write_darks(world, frames=16, trains=4, cells=cells)
    for by in ("mean", "median"):
        darks = characterise_darks(world.detector, world.plan_darks().tasks[0], CODES, offset_by=by)
        assert darks.offset.shape == (16, 3, 16, 64)
        expected = getattr(np, by)(written[2], axis=0)[:, 1:]
        np.testing.assert_allclose(darks.offset[cells, 2, 1:], expected, rtol=1e-14)


def test_single_cell_mode_ignores_the_number_of_the_cell(world):
    write_darks(world, cells=np.array([15]))
    darks = characterise_darks(world.detector, world.plan_darks().tasks[0], CODES)
    assert np.isfinite(darks.offset).all()


def test_exchanged_runs_are_noticed(world):
    write_darks(world)
    task = world.plan_darks({"G0": 1, "G1": 3, "G2": 2}).tasks[0]
    with pytest.raises(BadInput, match="another gain stage than G1"):
        characterise_darks(world.detector, task, CODES)


def test_putting_twice_is_one_entry_each_and_the_list_is_the_same(world):
    write_darks(world)
    plan = world.plan_darks()
    task, maps = plan.tasks[0], {"Offset10Hz": np.ones((1, 3, 16, 64))}
    first = put_constants(world.detector, task, maps)
    listed = (world.folder / "darks" / "DARK-R0001-R0002-R0003-JNGFR01.json").read_bytes()
    assert put_constants(world.detector, task, maps) == first
    assert (world.folder / "darks" / "DARK-R0001-R0002-R0003-JNGFR01.json").read_bytes() == listed
    assert len(world.store.entries()) == 1
    assert [row["entry"] for row in made_constants(plan)] == [first[0].id]
    assert put_constants(world.detector, task, maps, inject=False) == []
    assert made_constants(plan) == []
