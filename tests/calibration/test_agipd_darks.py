"""Darks of AGIPD: against NumPy on the same frames, and against what was planted."""

from dataclasses import replace

import numpy as np
import pytest

from calibook.calibration.agipd_darks import (
    AgipdDarks,
    agipd_dark_constants,
    characterise_agipd_darks,
    gain_separation_errors,
    thresholds_of,
)
from calibook.calibration.made import put_constants
from calibook.constants import Store, as_used
from calibook.detectors.agipd import AGIPD
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadInput, BadParameter
from calibook.procedures.tasks import Task
from calibook.runs.raw_writer import RunPart, raw_file_writer

SMALL = replace(AGIPD, module_shape=(16, 32))
KARABO_ID, CELLS, TRAINS, SHAPE = "SPB_DET_AGIPD1M-1", 5, 40, (16, 32)
OFFSET, LEVEL = (4950, 6950, 7950), (5750, 6900, 7900)


def write_dark(folder, run, stage, sequence=0):
    """(path, signal, gain plane, cells): some frames lost, frames per train varying."""
    r = np.random.default_rng([run, sequence])
    counts = r.integers(0, CELLS + 1, TRAINS)
    cell = np.concatenate([r.permutation(CELLS)[:n] for n in counts]).astype("u2")
    pixel = np.random.default_rng(5).normal(0, 100, (CELLS, *SHAPE))
    planes = [r.normal(base + pixel[cell], noise) for base, noise in ((OFFSET[stage], 8), (LEVEL[stage], 40))]
    data = np.stack(planes, 1).round().clip(0, 16383).astype("u2")
    data[r.random(len(data)) < 0.05] = 0
    recorded = RunPart(run, sequence, 1000 + np.arange(TRAINS), 10**18 + np.arange(TRAINS) * 10**8)
    values = {
        "cellId": cell, "pulseId": cell.astype("u8"),
        "trainId": np.repeat(recorded.train_ids, counts).astype("u8"),
        "length": np.ones(len(cell), "u4"), "status": np.zeros(len(cell), "u2"),
    }  # fmt: skip
    with raw_file_writer(folder, SMALL, KARABO_ID, 3, recorded, counts) as writer:
        writer.append({"data": data}, {k: v[:, None] for k, v in values.items()})
    return str(recorded.path(folder, "AGIPD03")), data, cell


@pytest.fixture(scope="module")
def darks(tmp_path_factory):
    """(task, {stage: (data, cell)})"""
    folder = tmp_path_factory.mktemp("darks")
    files, frames = {}, {}
    for stage, name in enumerate(("high", "medium", "low")):
        parts = [write_dark(folder, 10 + stage, stage, sequence) for sequence in (0, 1)]
        files[name] = [path for path, *_ in parts]
        frames[name] = np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts])
    about = {
        "files": files, "karabo_id": KARABO_ID, "conditions": {"Memory cells": CELLS}, "unit": "AGIPD_M1",
        "store": str(folder / "store"), "begin": "2026-11-22T10:00:00+00:00",
    }  # fmt: skip
    task = Task(
        name="AGIPD03",
        about=about,
        inputs=[path for paths in files.values() for path in paths],
        outputs=[str(folder / "out.json")],
    )
    return task, frames


def per_cell(function, frames, plane):
    """function(samples that aren't lost), (cell, gain, slow, fast)."""
    stages = []
    for data, cell in frames.values():
        kept = data[data[:, 0].any(axis=(1, 2)), plane], cell[data[:, 0].any(axis=(1, 2))]
        stages.append([function(kept[0][kept[1] == c]) for c in range(CELLS)])
    return np.array(stages).swapaxes(0, 1)


@pytest.mark.parametrize("cells_at_a_time", [2, 8])
def test_darks_are_numpys(darks, cells_at_a_time):
    task, frames = darks
    seen = []
    found = characterise_agipd_darks(
        SMALL, task, cells_at_a_time=cells_at_a_time, progress=lambda done, of: seen.append((done, of))
    )
    assert seen[-1] == (15, 15)
    np.testing.assert_array_equal(found.offset, per_cell(lambda x: np.median(x, 0), frames, 0).astype("f4"))
    # float32 is what is left of exact sums
    for name, plane, function in [
        ("noise", 0, lambda x: x.std(0, ddof=1)),
        ("level", 1, lambda x: x.mean(0)),
        ("spread", 1, lambda x: x.std(0, ddof=1)),
    ]:
        np.testing.assert_allclose(getattr(found, name), per_cell(function, frames, plane), rtol=2e-7)
    np.testing.assert_array_equal(found.count, per_cell(lambda x: np.full(SHAPE, len(x)), frames, 0))
    assert found.frames == tuple(found.count.max(axis=(0, 2, 3)))


def test_mean_offsets(darks):
    task, frames = darks
    found = characterise_agipd_darks(SMALL, task, offset_by="mean")
    np.testing.assert_allclose(found.offset, per_cell(lambda x: x.mean(0), frames, 0), rtol=1e-7)
    with pytest.raises(BadParameter, match="offset_by"):
        characterise_agipd_darks(SMALL, task, offset_by="mode")


def test_constants_go_into_the_store_in_the_facility_s_order(darks):
    task, _ = darks
    found = characterise_agipd_darks(SMALL, task)
    arrays = agipd_dark_constants(found)
    assert not arrays["BadPixelsDark"].any()
    conditions = dict.fromkeys(AGIPD.constants["Offset"].conditions, 1.0)
    put = put_constants(SMALL, replace_conditions(task, conditions), arrays)
    stored = {c.calibration: Store(task.about["store"]).load(c) for c in put}
    assert stored["Offset"].shape == (32, 16, CELLS, 3) and stored["Offset"].dtype == "f8"
    assert stored["ThresholdsDark"].shape == (32, 16, CELLS, 5)
    used = as_used(stored["ThresholdsDark"], AGIPD.constants["ThresholdsDark"].dims)
    np.testing.assert_array_equal(used, thresholds_of(found))


def replace_conditions(task, conditions):
    changed = {**task.about["conditions"], **conditions}
    return replace(task, about={**task.about, "conditions": changed, "valid_for": [changed]})


def test_runs_in_another_order_are_refused(darks):
    task, _ = darks
    swapped = dict(zip(("high", "medium", "low"), reversed(list(task.about["files"].values())), strict=True))
    with pytest.raises(BadInput, match="does not rise from stage to stage"):
        characterise_agipd_darks(SMALL, replace(task, about={**task.about, "files": swapped}))


def levels(*triples, spread=40.0):
    level = np.array(triples, "f4").T.reshape(1, 3, 1, -1)
    ones = np.ones(level.shape, "u4")
    return AgipdDarks(level, level, level, np.full_like(level, spread), ones, ones, (1, 1, 1))


def test_thresholds_lie_half_way_and_the_levels_follow():
    np.testing.assert_array_equal(
        thresholds_of(levels((5750, 6900, 7900)))[0, :, 0, 0], [6325, 7400, 5750, 6900, 7900]
    )


@pytest.mark.parametrize(
    ("triple", "wrong_stages"),
    [
        ((5000, 6000, 7000), ()),
        ((5000, 5282, 7000), (0, 1, 2)),  # 5 sigma are 5 * sqrt(2) * 40 = 282.8 ADU
        ((5000, 5283, 7000), ()),
        ((5000, 6000, 6100), (1, 2)),
        ((6000, 5000, 7000), (0, 1, 2)),
        ((np.nan, 6000, 7000), (0, 1, 2)),
        ((5000, 6000, np.nan), (1, 2)),
    ],
)
def test_levels_too_near_to_each_other(triple, wrong_stages):
    words = gain_separation_errors(levels(triple))[0, :, 0, 0]
    expected = [BadPixels.GAIN_THRESHOLDING_ERROR if s in wrong_stages else 0 for s in range(3)]
    assert words.tolist() == expected


def test_planted_bad_pixels_are_found(darks):
    task, _ = darks
    found = characterise_agipd_darks(SMALL, task)
    found.offset[0, :, 0, 0] += 5000
    found.noise[1, 0, 0, 1] = 30
    found.level[2, 1, 0, 2] = found.level[2, 0, 0, 2]
    found.offset[3, 0, 0, 3] = np.nan
    bad = agipd_dark_constants(found)["BadPixelsDark"]
    assert (bad[0, :, 0, 0] == BadPixels.OFFSET_OUT_OF_THRESHOLD).all()
    assert bad[1, 0, 0, 1] == BadPixels.NOISE_OUT_OF_THRESHOLD
    assert (bad[2, :, 0, 2] == BadPixels.GAIN_THRESHOLDING_ERROR).all()
    assert bad[3, 0, 0, 3] == BadPixels.OFFSET_NOISE_EVAL_ERROR
    assert np.count_nonzero(bad) == 8
