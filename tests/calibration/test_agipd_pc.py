"""Scans of the pulsed capacitor, written as raw runs with known slopes."""

from dataclasses import replace

import numpy as np
import pytest

from calibook.calibration.agipd.pc import HOOK as HOOK_NAMES
from calibook.calibration.agipd.pc import scan_constants
from calibook.calibration.agipd.scan import ScanOptions, characterise_scan
from calibook.calibration.agipd.slopes import medium_shift, relative_gains
from calibook.detectors.agipd import AGIPD, SLOPES_PC
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadInput, BadParameter
from calibook.kernels.analogue_packing import pack_signal
from calibook.kernels.lines import HIGH, MEDIUM, Lines
from calibook.procedures.tasks import Task
from calibook.runs.raw_writer import RunPart, raw_file_writer

SHAPE, CELLS, TRAINS = (16, 8), 3, 520
SMALL, KARABO_ID = replace(AGIPD, module_shape=SHAPE), "SPB_DET_AGIPD1M-1"
FORCED_ERROR, HOOK, DECAY, SWITCH = 150.0, 60.0, 30.0, 3000.0


def truth():
    r = np.random.default_rng(9)
    maps = (CELLS, *SHAPE)
    high, ratio = 28 * r.normal(1, 0.03, maps), 32 * r.normal(1, 0.03, maps)
    offset = 4950 + r.normal(0, 250, maps)
    level = np.array([5750.0, 6900, 7900])[None, :, None, None] + r.normal(0, 100, (CELLS, 1, *SHAPE))
    return high, ratio, np.stack([offset, offset + 2000, offset + 3000], 1), level


def write_scan(folder, row):
    """A run in which train n has n pulses into every eighth row from `row`; some trains are lost."""
    r = np.random.default_rng([3, row])
    high, ratio, offset, level = truth()
    kept = np.flatnonzero(r.random(TRAINS) > 0.02)
    kept[0] = 0
    x = np.where((np.arange(SHAPE[0]) % 8 == row)[:, None], kept[:, None, None, None], 0)
    x = np.broadcast_to(x, (len(kept), CELLS, *SHAPE))
    jump = SWITCH / high
    stage = (x > jump).astype(int)
    bent = HOOK * np.exp(-(x - jump) / DECAY)
    medium = offset[:, 1] - FORCED_ERROR + x * high / ratio + bent
    signal = np.where(stage == 0, offset[:, 0] + x * high, medium) + r.normal(0, 8, x.shape)
    shown = np.take_along_axis(level[None], stage[:, :, None], 2)[:, :, 0] + r.normal(0, 40, x.shape)
    data = np.stack([signal, shown], 2).round().clip(0, 16383).astype("u2").reshape(-1, 2, *SHAPE)
    n, stamps = len(data), 10**18 + kept * 10**8
    recorded = RunPart(20 + row, 0, 1000 + kept, stamps)
    cell = np.tile(np.arange(CELLS), len(kept))
    values = {
        "cellId": cell.astype("u2"), "pulseId": cell.astype("u8"),
        "trainId": np.repeat(recorded.train_ids, CELLS).astype("u8"),
        "length": np.ones(n, "u4"), "status": np.zeros(n, "u2"),
    }  # fmt: skip
    with raw_file_writer(folder, SMALL, KARABO_ID, 0, recorded, CELLS) as writer:
        writer.append({"data": data}, {k: v[:, None] for k, v in values.items()})
    return str(recorded.path(folder, "AGIPD00"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    files = {str(row): [write_scan(folder, row)] for row in range(8)}
    about = {"files": files, "karabo_id": KARABO_ID, "conditions": {"Memory cells": CELLS}}
    return Task(name="AGIPD00", about=about)


@pytest.fixture(scope="module")
def thresholds():
    level = truth()[3]
    return (level[:, :2] + level[:, 1:]) / 2


@pytest.fixture(scope="module")
def measured(scan, thresholds):
    return characterise_scan(SMALL, scan, thresholds, threads=2)


@pytest.fixture
def lines():
    """As of a scan without noise."""
    high, ratio, offset, _ = truth()
    slope = np.stack([high, high / ratio], 1)
    none = np.zeros_like(slope)
    return Lines(slope, offset[:, :2].copy(), none, none, none + 8, none.astype("u4") + 100)


def test_slopes_and_their_errors(measured):
    high, ratio, _, _ = truth()
    slopes = {name: measured.slopes[:, i] for i, name in enumerate(SLOPES_PC)}
    # Some 100 points of 8 ADU of scatter: 0.03 of 28 ADU; 260 points far out: 0.0075 of 0.88 ADU.
    assert (slopes["high slope"] / high - 1).std() < 1.5e-3
    assert (slopes["medium slope"] / (high / ratio) - 1).std() < 0.012
    pull = (measured.ratio - ratio) / measured.ratio_error
    # 384 values: the width is known to 4 %, the mean to 0.05
    assert pull.std() == pytest.approx(1, abs=0.15) and abs(pull.mean()) < 0.25
    assert slopes["high deviation"].mean() == pytest.approx(8, rel=0.05)


def test_ratios_are_within_one_percent(measured):
    assert not measured.bad.any()
    assert measured.slopes.shape == (CELLS, len(SLOPES_PC), *SHAPE)
    relative = relative_gains(measured.slopes)
    wrong = relative[:, 1] / truth()[1] - 1
    assert abs(wrong.mean()) < 2e-3 and np.abs(wrong).mean() < 0.01
    np.testing.assert_allclose(relative[:, 2], relative[:, 1] * 4.48)
    np.testing.assert_allclose(relative[:, 1], measured.ratio, rtol=1e-6)
    assert (relative[:, 0] == 1).all()


def test_threads_make_no_difference(scan, thresholds, measured):
    again = characterise_scan(SMALL, scan, thresholds, threads=1)
    for name in ("slopes", "bad", "ratio_error", "points"):
        np.testing.assert_array_equal(getattr(again, name), getattr(measured, name))


def test_the_medium_line_meets_the_high_one(measured):
    """A pixel that switched by itself starts 150 ADU lower than one that was forced."""
    offset = truth()[2]
    slopes = measured.slopes
    shift = medium_shift(slopes, offset)[:, 0]
    # The intercept is extrapolated over 250 pulses: some 2 ADU of error per pixel.
    assert shift.mean() == pytest.approx(FORCED_ERROR, abs=0.5) and shift.std() < 5
    high, ratio, _, _ = truth()
    signal = 4000 / high  # pulses: where the medium line is straight
    adc = offset[:, 1] - FORCED_ERROR + signal * high / ratio
    packed = pack_signal(offset, relative_gains(slopes), medium_shift=shift[:, None])
    corrected = (adc - packed.offset[:, 1].reshape(adc.shape)) * packed.scale[:, 1].reshape(adc.shape)
    assert corrected.mean() == pytest.approx(4000, rel=0.005)


def test_pixels_without_lines_are_bad_and_get_the_median(lines):
    broken = replace(lines, **{name: getattr(lines, name).copy() for name in ("slope", "deviation")})
    broken.slope[0, MEDIUM, 0, 0] = np.nan
    broken.slope[1, MEDIUM, 0, 1] *= 1.5
    broken.slope[1, HIGH, 0, 2] *= 3
    broken.deviation[2, MEDIUM, 0, 3] = 31
    constants = scan_constants(broken)
    bad = constants["BadPixelsPC"]
    assert bad[0, 0, 0] == BadPixels.CI_EVAL_ERROR
    assert bad[1, 0, 1] == bad[1, 0, 2] == BadPixels.CI_GAIN_OF_OF_THRESHOLD
    assert bad[2, 0, 3] == BadPixels.CI_LINEAR_DEVIATION
    assert np.count_nonzero(bad) == 4
    relative = relative_gains(constants["SlopesPC"])
    assert relative[0, 1, 0, 0] == pytest.approx(32, rel=0.02)
    assert medium_shift(constants["SlopesPC"], truth()[2])[0, 0, 0, 0] == 0


def test_the_hook_is_the_true_one(measured):
    amplitude, start, decay = (measured.slopes[:, SLOPES_PC.index(f"hook {name}")] for name in HOOK_NAMES)
    jump = SWITCH / truth()[0]
    # The next pulse behind the jump, or the one after a train that was lost.
    assert (start > jump).all() and (start < jump + 3).all()
    fitted = decay > 0
    # 60 ADU of 8 ADU of noise, over 30 pulses: five standard deviations are all but always seen.
    assert fitted.mean() > 0.99
    true = HOOK * np.exp(-(start - jump) / DECAY)
    assert np.median((amplitude / true)[fitted]) == pytest.approx(1, abs=0.02)
    assert np.median(decay[fitted]) == pytest.approx(DECAY, rel=0.03)


def test_without_the_hook_the_line_begins_later(scan, thresholds, measured):
    straight = characterise_scan(SMALL, scan, thresholds, ScanOptions(hook=False))
    assert not straight.slopes[:, [SLOPES_PC.index(f"hook {name}") for name in HOOK_NAMES]].any()
    medium = SLOPES_PC.index("medium slope")
    true = truth()[0] / truth()[1]
    assert (straight.slopes[:, medium] / true - 1).std() < 0.012
    # More points, and a longer line, though two more unknowns.
    assert (measured.points[:, 1] > straight.points[:, 1] + 100).mean() > 0.99
    assert np.median(measured.ratio_error) < np.median(straight.ratio_error)


def test_too_few_points_make_no_line(scan, thresholds):
    found = characterise_scan(SMALL, scan, thresholds, ScanOptions(after=420, hook=False))
    slopes = {name: found.slopes[:, i] for i, name in enumerate(SLOPES_PC)}
    assert np.isnan(slopes["medium slope"]).all() and np.isfinite(slopes["high slope"]).all()
    assert (found.bad == BadPixels.CI_EVAL_ERROR).all()


def test_rows_must_be_covered_once(scan, thresholds):
    files = {row: paths for row, paths in scan.about["files"].items() if row != "3"}
    with pytest.raises(BadParameter, match="each of 0 to 7 once"):
        characterise_scan(SMALL, replace(scan, about={**scan.about, "files": files}), thresholds)
    with pytest.raises(BadParameter, match="2 memory cells, the scan has 3"):
        characterise_scan(SMALL, scan, thresholds[:2])


def test_a_run_too_long_for_a_scan_is_refused(scan, thresholds, tmp_path):
    import h5py

    path = tmp_path / "RAW-R0020-AGIPD00-S00000.h5"
    with h5py.File(scan.about["files"]["0"][0]) as old, h5py.File(path, "w") as new:
        for name in old:
            old.copy(name, new)
        new["INDEX/trainId"][-1] = 10**6
    files = {**scan.about["files"], "0": [str(path)]}
    with pytest.raises(BadInput, match="a scan has at most 4096"):
        characterise_scan(SMALL, replace(scan, about={**scan.about, "files": files}), thresholds)
