"""A raw file of AGIPD becomes a corrected one: a simulated module, corrected with its true constants."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from agipd_constants import true_constants

from calibook.calibration import workers
from calibook.calibration.agipd.baseline import by_histogram, by_noise_peak, by_stripes
from calibook.calibration.agipd.constants import GainOptions, pack_agipd
from calibook.calibration.agipd.correct import AgipdCorrection, ChipMode
from calibook.calibration.agipd.correct_file import correct_agipd_file
from calibook.calibration.agipd.first_pass import Selection, stuck_pixels, with_cell_common_mode
from calibook.calibration.agipd.overview import combined_agipd, outlying_chips, signal_by_cell, train_by_cell
from calibook.calibration.agipd.wanted import wanted_constants
from calibook.detectors.agipd import AGIPD, double_size_pixels, signal_ranges
from calibook.detectors.bad_pixels import INFORMATIONAL, BadPixels
from calibook.errors import BadParameter
from calibook.files import blake3
from calibook.procedures.tasks import Task
from calibook.simulation.agipd import simulate_run
from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.truth_files import read_truth, truth_path

KARABO_ID, ENERGY, CELLS, TRAINS = "SPB_DET_AGIPD1M-1", 9.3, 4, 14
SOURCE, LEGACY = f"{KARABO_ID}/CORR/0CH0:output", f"{KARABO_ID}/DET/0CH0:xtdf"
STATIC = double_size_pixels() * np.uint32(BadPixels.NON_STANDARD_SIZE)
RANGES = signal_ranges("photons", ENERGY)


@dataclass(frozen=True)
class Simulated:
    raw: Path
    constants: dict[str, np.ndarray]

    def correction(self, **options) -> AgipdCorrection:
        packed = pack_agipd(self.constants, STATIC, gains=GainOptions(photon_energy=ENERGY))
        return AgipdCorrection(packed, **{"common_mode": ChipMode(), "medium_not_negative": True, **options})


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Simulated:
    folder = tmp_path_factory.mktemp("simulated")
    settings = AgipdSettings(
        run=4, trains=TRAINS, modules=(0,), memory_cells=CELLS, fewest_frames=2, intensity=3.0, seed=5,
        lost_data=((0, 3),), truth_frames=0,
    )  # fmt: skip
    simulate_run(folder, settings)
    truth, _ = read_truth(truth_path(folder, 4, "AGIPD00"))
    return Simulated(folder / "r0004" / "RAW-R0004-AGIPD00-S00000.h5", true_constants(truth))


def task_of(raw: Path, target: Path) -> Task:
    about = {"karabo_id": KARABO_ID, "module": 0, "sequence": 0}
    return Task("AGIPD00-S00000", about=about, inputs=[str(raw)], outputs=[str(target)])


def corrected(simulated: Simulated, target: Path, selection=None, threads=2, legacy_name=False, **options):
    task = task_of(simulated.raw, target)
    found = simulated.correction(**options)
    return correct_agipd_file(AGIPD, task, found, RANGES, selection, legacy_name=legacy_name, threads=threads)


def image(path: Path, source: str = SOURCE) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: dataset[()] for name, dataset in file[f"INSTRUMENT/{source}/image"].items()}


@pytest.fixture(scope="module")
def result(simulated, tmp_path_factory):
    """(path, results) with the default options"""
    path = tmp_path_factory.mktemp("corrected") / "CORR.h5"
    return path, corrected(simulated, path)


def test_neither_threads_nor_blocks_change_a_byte(simulated, result, tmp_path, monkeypatch):
    path, expected = result
    frame = 512 * 128 * (4 + 1 + 4 + workers.WRITTEN_PER_WORKER * 4)
    for number, (threads, frames) in enumerate([(1, 1), (4, 3), (3, 100)]):
        # Of the memory for frames each of the workers gets a part.
        share = frames * threads * workers.WORKERS_PER_THREAD
        monkeypatch.setattr(workers, "BUFFERED_BYTES", frame * share)
        other = tmp_path / f"{number}.h5"
        found = corrected(simulated, other, threads=threads)
        assert blake3(other) == blake3(path)
        assert found.keys() == expected.keys()
        for name in found.keys() - {"seconds"}:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_frames_keep_ids_and_order_and_trains_without_frames_stay(simulated, result):
    with h5py.File(simulated.raw) as raw, h5py.File(result[0]) as ours:
        count = raw[f"INDEX/{LEGACY}/image/count"][:TRAINS]
        assert count[3] == 0 and len(set(count)) > 2
        np.testing.assert_array_equal(ours[f"INDEX/{SOURCE}/image/count"], count)
        np.testing.assert_array_equal(ours["INDEX/trainId"], raw["INDEX/trainId"][:TRAINS])
        for key in ("cellId", "pulseId", "trainId"):
            there = raw[f"INSTRUMENT/{LEGACY}/image/{key}"][: count.sum(), 0]
            np.testing.assert_array_equal(ours[f"INSTRUMENT/{SOURCE}/image/{key}"], there)
        group = ours[f"INSTRUMENT/{SOURCE}/image"]
        for name, dtype in (("data", "f4"), ("gain", "u1"), ("mask", "u4")):
            assert group[name].dtype == dtype and group[name].chunks == (1, 512, 128)
    assert result[1]["trains"] == TRAINS and result[1]["frames"] == count.sum()


def test_values_are_those_of_the_formula(simulated, result):
    """Signals of high gain before and after, with the shift of the chip that the results tell."""
    ours, found = image(result[0]), result[1]
    with h5py.File(simulated.raw) as raw:
        adc = raw[f"INSTRUMENT/{LEGACY}/image/data"][: len(ours["data"]), 0].astype("f8")
    cell = ours["cellId"]
    shift = found["chip_shifts"].repeat(64, 1).repeat(64, 2)
    signal = adc - simulated.constants["Offset"][cell, 0] - shift
    with np.errstate(divide="ignore"):  # dead pixels
        expected = signal / simulated.constants["SlopesFF"][cell, 0] / ENERGY
    good = (ours["gain"] == 0) & ((ours["mask"] & ~np.uint32(INFORMATIONAL)) == 0)
    assert good.mean() > 0.9
    # Offsets of some 5000 ADU are rounded to float32, which is 0.0005 of 65 ADU per photon.
    np.testing.assert_allclose(ours["data"][good], expected[good], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours["blShift"], found["chip_shifts"].mean(axis=(1, 2)), atol=1e-4)


def test_what_the_summary_gets_is_what_the_file_has(result):
    ours, found = image(result[0]), combined_agipd([result[1]])
    data = np.where((ours["mask"] & ~np.uint32(INFORMATIONAL)) == 0, ours["data"], np.nan).astype("f8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # chips that are dead
        chips = np.nanmean(data.reshape(-1, 8, 64, 2, 64), axis=(2, 4))
        # Fewer than 16 trains: all are looked at.
        by_cell = np.stack(
            [
                np.nanmean(data[ours["cellId"] == c].reshape(-1, 8, 64, 2, 64), axis=(0, 2, 4))
                for c in range(CELLS)
            ]
        )
    np.testing.assert_allclose(found["chip_signal"], by_cell, rtol=1e-5, atol=1e-5)
    assert chips.shape == (len(data), 8, 2)
    assert found["planes"].sum() == data.size
    np.testing.assert_array_equal(found["cells"], ours["cellId"])
    frame = np.nanmean(data.reshape(len(data), -1), axis=1)
    expected = [frame[ours["cellId"] == c].mean() for c in range(CELLS)]
    np.testing.assert_allclose(signal_by_cell(found), expected, atol=1e-4)
    table = train_by_cell(found)
    assert table.shape == (TRAINS, CELLS) and np.isnan(table[3]).all()
    shifts, count = result[1]["chip_shifts"], result[1]["frames_of_trains"]
    last = shifts[count[:-1].sum() :].mean(axis=0)
    np.testing.assert_allclose(found["train_shifts"][-1], last, atol=1e-5)
    of_cell = shifts[ours["cellId"] == 1].mean(axis=0)
    np.testing.assert_allclose(found["cell_shifts"][1], of_cell, atol=1e-5)
    assert found["train_shifts"].shape == (TRAINS, 8, 2) and found["cell_shifts"].shape == (CELLS, 8, 2)


def test_selected_frames_alone_are_in_the_file(simulated, result, tmp_path):
    whole = image(result[0])
    found = corrected(simulated, tmp_path / "some.h5", Selection(max_pulses=[1, 4, 2], lit_pulses=[4, 8, 12]))
    some = image(tmp_path / "some.h5")
    keep = np.isin(whole["cellId"], [1, 3])
    assert 0 < keep.sum() < len(keep) and found["frames"] == keep.sum()
    for name, array in some.items():
        np.testing.assert_array_equal(array, whole[name][keep])


def test_the_raw_name_is_a_link_on_request(simulated, result, tmp_path):
    from extra_data import H5File

    corrected(simulated, tmp_path / "linked.h5", legacy_name=True)
    with H5File(tmp_path / "linked.h5") as run, H5File(result[0]) as plain:
        assert run.legacy_sources == {LEGACY: SOURCE} and not plain.legacy_sources
        np.testing.assert_array_equal(
            run[LEGACY, "image.data"].ndarray(), run[SOURCE, "image.data"].ndarray()
        )
        assert LEGACY not in plain.all_sources


def test_nan_and_what_no_detector_measures_become_zero(simulated, tmp_path):
    bad = int(BadPixels.OFFSET_OUT_OF_THRESHOLD)
    corrected(simulated, tmp_path / "nan.h5", nan_bits=bad)
    corrected(simulated, tmp_path / "zero.h5", nan_bits=bad, zero_nans=True, zero_outside=(-1.0, 50.0))
    nan, zero = image(tmp_path / "nan.h5")["data"], image(tmp_path / "zero.h5")["data"]
    with np.errstate(invalid="ignore"):
        outside = np.isnan(nan) | (nan < -1) | (nan > 50)
    assert np.isnan(nan).any() and (outside & ~np.isnan(nan)).any()
    np.testing.assert_array_equal(zero, np.where(outside, 0, nan))


def test_pixels_that_never_change_are_found(simulated, tmp_path):
    raw = tmp_path / simulated.raw.name
    shutil.copy(simulated.raw, raw)
    with h5py.File(raw, "r+") as file:
        group = file[f"INSTRUMENT/{LEGACY}/image"]
        cell, data = group["cellId"][:, 0], group["data"][()]
        data[:, 0, 5, 7] = 4321
        data[cell == 2, 0, 100, 1] = 4444
        data[:, 1, 9, 9] = 5000  # the gain plane may stand still
        group["data"][...] = data
    count = np.bincount(cell, minlength=CELLS)
    assert count.min() >= 3
    found = stuck_pixels(AGIPD, task_of(raw, tmp_path / "x.h5"), threads=3) == BadPixels.DATA_STD_IS_ZERO
    judged = count >= 10
    assert judged.any()
    assert (found[:, 0, 5, 7] == judged).all() and found[2, 0, 100, 1] == judged[2]
    assert not found[~judged].any() and not found[[0, 1, 3], 0, 100, 1].any() and not found[:, 0, 9, 9].any()
    one = stuck_pixels(AGIPD, task_of(raw, tmp_path / "x.h5"), threads=1) == BadPixels.DATA_STD_IS_ZERO
    np.testing.assert_array_equal(one, found)
    packed = pack_agipd(
        simulated.constants,
        found * np.uint32(BadPixels.DATA_STD_IS_ZERO),
        gains=GainOptions(photon_energy=1.0),
    )
    stuck = (packed.mask.reshape(CELLS, 3, 512, 128) & BadPixels.DATA_STD_IS_ZERO) != 0
    np.testing.assert_array_equal(stuck, np.repeat(found, 3, axis=1))


def test_words_of_fewer_or_more_cells_than_constants(simulated):
    """What a run shows is of the cells that occur in it."""
    options = {"gains": GainOptions(photon_energy=1.0)}
    for cells in (2, CELLS + 3):
        word = np.full((cells, 1, 512, 128), BadPixels.DATA_STD_IS_ZERO, "u4")
        for constants in (
            simulated.constants,
            {k: v for k, v in simulated.constants.items() if "Bad" not in k},
        ):
            mask = pack_agipd(constants, word, **options).mask
            assert ((mask & BadPixels.DATA_STD_IS_ZERO) != 0).all(axis=(1, 2)).tolist() == [
                cell < cells for cell in range(CELLS)
            ]


def test_what_is_needed_follows_from_options_and_gain_mode():
    wanted = wanted_constants({}, relative=True, adjust_medium=True, xray_gain=False)
    assert wanted["Offset"] is True and wanted["ThresholdsDark"] is True and wanted["SlopesFF"] is False
    assert wanted["SlopesPC"] == (
        "rel_gain and adjust_mg_baseline need it; --rel-gain off --adjust-mg-baseline false does without"
    )
    fixed = wanted_constants({"Gain mode": 2.0}, relative=False, adjust_medium=False, xray_gain=True)
    assert (
        not fixed["ThresholdsDark"]
        and not fixed["SlopesPC"]
        and "--xray-gain false" in str(fixed["SlopesFF"])
    )


def test_chips_that_stand_out_are_named_with_their_cells():
    rng = np.random.default_rng(1)
    signal = np.outer(rng.normal(1, 0.1, 32), np.linspace(1, 5, 16)) * rng.normal(1, 0.002, (32, 16))
    signal[7, 3] *= 1.3
    signal[:, 9] = np.nan
    bad = np.zeros((32, 16))
    bad[:, 9], bad[4:6, 2] = 1, 0.2
    module = {
        "cell_ids": np.arange(32), "chip_signal": signal.reshape(32, 8, 2), "chip_bad": bad.reshape(32, 8, 2)
    }  # fmt: skip
    rows = [tuple(map(str, row.values())) for row in outlying_chips({5: module})]
    assert rows == [
        ("5", "2", "4-5", "bad pixels", "20%"),
        ("5", "3", "7", "signal off", "30%"),
        ("5", "9", "all", "bad pixels", "100%"),
    ]


@pytest.mark.parametrize(("way", "tolerance"), [("noise", 3), ("histogram", 3), ("stripes", 15)])
def test_a_baseline_is_found_in_each_way(simulated, tmp_path, way, tolerance):
    """Every other frame is 120 ADU lower. The dark peak has a noise of 8 ADU, of thousands of pixels,
    and chips shift by 9 ADU each, on average of 16 by 2; some stripes are of two chips, by 6."""
    raw = tmp_path / simulated.raw.name
    shutil.copy(simulated.raw, raw)
    with h5py.File(raw, "r+") as file:
        data = file[f"INSTRUMENT/{LEGACY}/image/data"]
        data[1::2, 0] = np.maximum(data[1::2, 0], 120) - 120
    task = task_of(raw, tmp_path / "x.h5")
    plain = simulated.correction(common_mode=None)
    baseline = {
        "noise": lambda: by_noise_peak(5000.0),
        "histogram": lambda: by_histogram(AGIPD, task, plain),
        "stripes": lambda: by_stripes(AGIPD, range(8, 40)),
    }[way]()
    found = correct_agipd_file(AGIPD, task, simulated.correction(common_mode=None, baseline=baseline), RANGES)
    difference = np.median(found["baseline"][1::2]) - np.median(found["baseline"][::2])
    assert difference == pytest.approx(-120, abs=tolerance)
    ours = image(tmp_path / "x.h5")
    np.testing.assert_array_equal(ours["blShift"], found["baseline"])
    # Wide pixels are good ones: their baseline is taken out, too.
    wide = np.nanmedian(ours["data"][:, double_size_pixels()], axis=1)
    assert abs(np.median(wide[1::2]) - np.median(wide[::2])) < 60 / 7 / ENERGY


def test_stripes_have_to_be_rows_of_the_module():
    for rows in ([], [512], [-1]):
        with pytest.raises(BadParameter, match="needs some of 0 to 511"):
            by_stripes(AGIPD, rows)


def test_offsets_that_changed_since_the_darks_are_found_in_rows_of_cells(simulated, tmp_path):
    """Some pixels are 10 ADU higher than in the darks, which no shift of a chip explains."""
    changed = np.where(np.random.default_rng(1).random((512, 128)) < 0.05, 10, 0)
    constants = {**simulated.constants, "Offset": simulated.constants["Offset"] - changed}
    packed = pack_agipd(constants, STATIC, gains=GainOptions(photon_energy=ENERGY))
    task = task_of(simulated.raw, tmp_path / "x.h5")
    plain = AgipdCorrection(packed, common_mode=ChipMode())
    some, one = (with_cell_common_mode(AGIPD, task, plain, threads=threads) for threads in (3, 1))
    np.testing.assert_array_equal(some.constants.offset, one.constants.offset)
    found = (some.constants.offset - packed.offset).reshape(CELLS, 3, 512, 128)
    assert not found[:, 1:].any() and (found[0] == found[3]).all()
    good = (packed.mask.reshape(CELLS, 3, 512, 128)[:, 0] == 0).all(axis=0) & (found[0, 0] != 0)
    difference = found[0, 0][good & (changed > 0)].mean() - found[0, 0][good & (changed == 0)].mean()
    # Of some 1000 pixels with noise of 8 ADU in ten frames or more the mean is known to 0.1 ADU.
    assert good.mean() > 0.2 and difference == pytest.approx(10, abs=0.5)
