"""Darks of AGIPD: against NumPy on the same frames, and against what was planted."""

from dataclasses import replace

import numpy as np
import pytest

from calibook.calibration.agipd import darks as agipd_darks
from calibook.calibration.agipd.darks import (
    LIMITS,
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
    plant(r, planes, stage, cell)
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


def plant(r, planes, stage, cell):
    """Bad pixels (cell, column) in row 0: 0, 0 is hot; 1, 1 noisy in high gain; 2, 2 does not tell
    medium from high gain."""
    planes[0][cell == 0, 0, 0] += 5000
    if stage == 0:
        planes[0][cell == 1, 0, 1] += r.normal(0, 60, (cell == 1).sum())
    if stage == 1:
        planes[1][cell == 2, 0, 2] -= LEVEL[1] - LEVEL[0]


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
        "store": str(folder / "store"), "begin": "2026-11-22T10:00:00+00:00", "valid_for": [{}],
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


@pytest.mark.parametrize(("threads", "buffered"), [(1, 1 << 28), (3, 20_000)])
def test_darks_are_numpys(darks, monkeypatch, threads, buffered):
    """Whole frames at a time, or few pixels."""
    task, frames = darks
    monkeypatch.setattr(agipd_darks, "BUFFERED_BYTES", buffered)
    found = characterise_agipd_darks(SMALL, task, threads=threads)
    np.testing.assert_array_equal(found.offset, per_cell(lambda x: np.median(x, 0), frames, 0).astype("f4"))
    # float32 is what is left of exact sums
    for name, plane, function in [
        ("noise", 0, lambda x: x.std(0, ddof=1)),
        ("level", 1, lambda x: x.mean(0)),
        ("spread", 1, lambda x: x.std(0, ddof=1)),
    ]:
        np.testing.assert_allclose(getattr(found, name), per_cell(function, frames, plane), rtol=2e-7)
    assert found.frames == tuple(per_cell(len, frames, 0).max(axis=0))


def test_mean_offsets(darks):
    task, frames = darks
    found = characterise_agipd_darks(SMALL, task, offset_by="mean")
    np.testing.assert_allclose(found.offset, per_cell(lambda x: x.mean(0), frames, 0), rtol=1e-7)
    with pytest.raises(BadParameter, match="offset_by"):
        characterise_agipd_darks(SMALL, task, offset_by="mode")


def test_constants_go_into_the_store_in_the_facility_s_order(darks):
    task, _ = darks
    found = characterise_agipd_darks(SMALL, task)
    conditions = dict.fromkeys({*AGIPD.constants["Offset"].conditions} - {"Gain mode"}, 1.0)
    put = put_constants(SMALL, replace_conditions(task, conditions), found.constants())
    stored = {c.calibration: Store(task.about["store"]).load(c) for c in put}
    assert stored["Offset"].shape == (32, 16, CELLS, 3) and stored["Offset"].dtype == "f8"
    assert stored["ThresholdsDark"].shape == (32, 16, CELLS, 5)
    used = as_used(stored["ThresholdsDark"], AGIPD.constants["ThresholdsDark"].dims)
    np.testing.assert_array_equal(used, thresholds_of(found.level))


def replace_conditions(task, conditions):
    changed = {**task.about["conditions"], **conditions}
    return replace(task, about={**task.about, "conditions": changed, "valid_for": [changed]})


def test_runs_in_another_order_are_refused(darks):
    task, _ = darks
    swapped = dict(zip(("high", "medium", "low"), reversed(list(task.about["files"].values())), strict=True))
    with pytest.raises(BadInput, match="does not rise from stage to stage"):
        characterise_agipd_darks(SMALL, replace(task, about={**task.about, "files": swapped}))


def levels(*triples):
    """f4 (1, 3, 1, pixel)"""
    return np.array(triples, "f4").T.reshape(1, 3, 1, -1)


def test_thresholds_lie_half_way_and_the_levels_follow():
    found = thresholds_of(levels((5750, 6900, 7900)))
    np.testing.assert_array_equal(found[0, :, 0, 0], [6325, 7400, 5750, 6900, 7900])


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
    level = levels(triple)
    words = gain_separation_errors(level, np.full_like(level, 40))[0, :, 0, 0]
    expected = [BadPixels.GAIN_THRESHOLDING_ERROR if s in wrong_stages else 0 for s in range(3)]
    assert words.tolist() == expected


def test_planted_bad_pixels_are_found_and_no_others(darks):
    task, _ = darks
    bad = characterise_agipd_darks(SMALL, task).bad
    assert (bad[0, :, 0, 0] == BadPixels.OFFSET_OUT_OF_THRESHOLD).all()
    assert bad[1, 0, 0, 1] == BadPixels.NOISE_OUT_OF_THRESHOLD
    assert (bad[2, :, 0, 2] == BadPixels.GAIN_THRESHOLDING_ERROR).all()
    assert np.count_nonzero(bad) == 3 + 1 + 3
    strict = replace(LIMITS, noise=((4, 20), (4, 5), (4, 20)))
    assert (characterise_agipd_darks(SMALL, task, strict).bad[:, 1] != 0).mean() > 0.99  # noise is 8 ADU


def test_a_cell_without_frames_is_bad(darks):
    task, _ = darks
    more = replace(task, about={**task.about, "conditions": {"Memory cells": CELLS + 1}})
    found = characterise_agipd_darks(SMALL, more)
    assert np.isnan(found.offset[CELLS]).all() and np.isfinite(found.offset[:CELLS]).all()
    assert ((found.bad[CELLS] & BadPixels.NO_DARK_DATA) != 0).all()
    np.testing.assert_array_equal(found.bad[:CELLS], characterise_agipd_darks(SMALL, task).bad)


def test_with_fixed_gain_the_gain_plane_does_not_count(darks):
    task, _ = darks
    swapped = dict(zip(("high", "medium", "low"), reversed(list(task.about["files"].values())), strict=True))
    about = {**task.about, "files": swapped, "valid_for": [{"Gain mode": 1.0}, {"Gain mode": 2.0}]}
    limits = replace(LIMITS, offset=((3500, 9000),) * 3)
    found = characterise_agipd_darks(SMALL, replace(task, about=about), limits)
    assert {*found.constants()} == {"Offset", "Noise", "BadPixelsDark"}
    assert not (found.bad & BadPixels.GAIN_THRESHOLDING_ERROR).any()
    np.testing.assert_array_equal(found.offset[:, ::-1], characterise_agipd_darks(SMALL, task).offset)
