"""Whole simulated runs, read as a user of the facility reads them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from extra.calibration import JUNGFRAUConditions
from extra_data import RunDirectory
from extra_data.components import JUNGFRAU
from extra_data.validation import RunValidator

from calibook.detectors.jungfrau import GAIN_CODES
from calibook.errors import BadInput, BadParameter
from calibook.simulation.jungfrau import simulate_run
from calibook.simulation.jungfrau_model import draw_detector
from calibook.simulation.jungfrau_settings import JungfrauSettings
from calibook.simulation.truth_files import read_truth

LIT = JungfrauSettings(
    run=4,
    trains=5,
    seed=8,
    trains_per_sequence=2,
    lost_trains=(1,),
    lost_data=((2, 3),),
    lost_frames=((1, 4, 0),),
)
BURST = JungfrauSettings(
    run=2, trains=1, modules=1, seed=8, scene="dark", gain_mode="fixg1", burst=True, karabo_id="SPB_IRDA_JF4M"
)
CONTROL = "FXE_XAD_JF1M/DET/CONTROL"


@pytest.fixture(scope="module")
def burst(folder):
    simulate_run(folder, BURST)
    return RunDirectory(folder / "r0002")


def test_files(folder, lit_files):
    names = [f"RAW-R0004-{who}-S0000{n}.h5" for who in ("JNGFR01", "JNGFR02", "JNGFRCTRL00") for n in (0, 1)]
    assert [path.name for path in lit_files] == names
    assert sorted(lit_files) == sorted((folder / "r0004").glob("*.h5"))
    assert sorted(path.name for path in (folder / "truth").glob("R0004*")) == [
        "R0004-JNGFR01.h5",
        "R0004-JNGFR02.h5",
    ]


def test_same_settings_give_the_same_bytes(folder, lit_files, tmp_path):
    done = []
    again = simulate_run(tmp_path, LIT, progress=lambda *counts: done.append(counts), workers=2)
    assert sorted(done) == [(n + 1, 8) for n in range(8)]
    truth = [folder / "truth" / f"R0004-JNGFR0{module}.h5" for module in (1, 2)]
    for path, other in zip(
        [*lit_files, *truth], [*again, *(tmp_path / "truth" / path.name for path in truth)], strict=True
    ):
        assert path.read_bytes() == other.read_bytes(), path.name


def test_validator_has_no_complaint(folder, lit, burst):
    for run in ("r0004", "r0002"):
        RunValidator(str(folder / run)).validate()


def test_component_reads_it(lit):
    assert lit.train_ids == [2209272000 + n for n in (0, 2, 3, 4)]
    assert str(lit.train_timestamps()[0]) == "2025-01-01T00:40:00.000000000"
    detector = JUNGFRAU(lit, raw=True, min_modules=1)
    adc = detector["data.adc"].xarray()
    assert adc.dtype == "u2" and adc.shape[:2] == (2, 4)
    np.testing.assert_array_equal((adc != 0).any(axis=(2, 3, 4)), [[1, 1, 1, 0], [1, 1, 0, 1]])


def test_lost_data_and_lost_frames(lit):
    second = lit["FXE_XAD_JF1M/DET/JNGFR02:daqOutput", "data.adc"]
    assert second.data_counts(labelled=False).tolist() == [1, 1, 0, 1]
    first = lit["FXE_XAD_JF1M/DET/JNGFR01:daqOutput"]
    assert first["data.memoryCell"].ndarray().tolist() == [[15], [15], [15], [255]]
    assert first["data.frameNumber"].ndarray().tolist() == [[1], [3], [4], [0]]
    assert not first["data.adc"].ndarray()[3].any()


def test_conditions_of_a_single_cell_run(lit):
    conditions = JUNGFRAUConditions.from_data(lit, "FXE_XAD_JF1M", control=CONTROL)
    assert (conditions.memory_cells, conditions.sensor_bias_voltage) == (1, 180)
    assert conditions.integration_time == pytest.approx(10)
    assert (conditions.gain_setting, conditions.gain_mode, conditions.exposure_timeout) == (0, 0, 25)


def test_conditions_and_cells_of_a_burst_run(burst):
    control = burst["SPB_IRDA_JF4M/DET/CONTROL"]
    assert JUNGFRAUConditions.memory_cells_from_control(control) == 16
    assert JUNGFRAUConditions.memory_cell_start_from_control(control) == 15
    assert JUNGFRAUConditions.gain_mode_from_control(control) == 2
    cells = burst["SPB_IRDA_JF4M/DET/JNGFR01:daqOutput", "data.memoryCell"].ndarray()
    assert cells.tolist() == [[15, *range(15)]]


def test_burst_frames_have_the_offset_of_their_cell(folder, burst):
    source = burst["SPB_IRDA_JF4M/DET/JNGFR01:daqOutput"]
    truth, _ = read_truth(folder / "truth" / "R0002-JNGFR01.h5")
    good = (truth.bad == 0).all(axis=(0, 1))
    adc = source["data.adc"].ndarray()[0].astype("f8")
    for frame, cell in enumerate(source["data.memoryCell"].ndarray()[0]):
        difference = (adc[frame] - truth.offset[cell, 1])[good]
        # Five standard errors: noise 5 ADU, 5e5 pixels
        assert abs(difference.mean()) < 5 * 5 / np.sqrt(5e5)


def test_truth_file_tells_the_photons_of_the_raw_data(folder, lit):
    detector, photons = read_truth(folder / "truth" / "R0004-JNGFR01.h5")
    drawn = draw_detector(8, 1, 1)
    for name in ("offset", "gain", "noise", "bad", "kinds"):
        np.testing.assert_array_equal(getattr(detector, name), getattr(drawn, name))
    source = lit["FXE_XAD_JF1M/DET/JNGFR01:daqOutput"]
    codes = source["data.gain"].ndarray()[:3, 0]
    # The fourth frame was lost.
    for stage, code in enumerate(GAIN_CODES):
        np.testing.assert_array_equal(photons.frames[stage], (codes == code).sum(axis=0))
        expected = np.where(codes == code, photons.first[:3], 0).sum(axis=0)
        np.testing.assert_array_equal(photons.photons[stage], expected)
    high = (codes[0] == 0) & (detector.bad == 0).all(axis=(0, 1))
    kev = (source["data.adc"].ndarray()[0, 0] - detector.offset[0, 0]) / detector.gain[0, 0]
    # Noise is 0.3 keV, with Fano statistics of 290 keV 0.46 keV; six sigma
    assert np.abs(kev - photons.first[0] * 9.3)[high].max() < 6 * 0.46


def test_truth_file_names_axes_units_and_settings(folder, lit):
    with h5py.File(folder / "truth" / "R0004-JNGFR01.h5") as f:
        assert list(f["detector/gain"].attrs["dims"]) == ["cell", "gain", "slow_scan", "fast_scan"]
        assert f["detector/gain"].attrs["unit"] == "ADU/keV"
        assert list(f["photons/first"].attrs["dims"]) == ["frame", "slow_scan", "fast_scan"]
        assert (f.attrs["seed"], f.attrs["module"], f.attrs["scene"]) == (8, 1, "rings")


def test_modules_see_the_same_pulses(folder, lit):
    """The ratio of photons to expectation is one number per pulse, for all modules."""
    first = [read_truth(folder / "truth" / f"R0004-JNGFR0{module}.h5")[1].first for module in (1, 2)]
    ratios = [photons[:2].sum(axis=(1, 2), dtype="f8") for photons in first]
    # 4e7 photons each
    assert ratios[0][0] / ratios[0][1] == pytest.approx(ratios[1][0] / ratios[1][1], rel=5e-3)
    assert abs(ratios[0][0] / ratios[0][1] - 1) > 1e-3


def test_other_files_are_not_touched(tmp_path):
    (tmp_path / "r0002").mkdir()
    other = tmp_path / "r0002" / "RAW-R0002-JNGFR01-S00000.h5"
    with h5py.File(other, "w") as f:
        f["METADATA/sample"] = [b"a crystal"]
    before = other.read_bytes()
    with pytest.raises(BadParameter, match=r"JNGFR01-S00000\.h5 is in the way"):
        simulate_run(tmp_path, JungfrauSettings(run=2, trains=1, modules=1))
    assert other.read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "r0002"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trains": 0}, "trains=0: has to be at least 1"),
        ({"modules": 0}, "modules=0"),
        ({"seed": -1}, "seed=-1"),
        ({"scene": "star"}, "scene='star': not one of dark, flat, rings, particle, adverse"),
        ({"gain_mode": "fixg0"}, "gain_mode='fixg0': not one of dynamic"),
        ({"photon_energy": 0.0}, "photon_energy=0.0: has to be above 0"),
        ({"pulse_jitter": 2.0}, "pulse_jitter=2.0"),
        ({"lost_trains": (0, 1)}, "no train is left"),
    ],
)
def test_settings_without_sense_are_refused(wrong, message):
    with pytest.raises(BadParameter, match=message):
        JungfrauSettings(**({"run": 1, "trains": 2} | wrong))


def test_no_truth_file_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="no truth of a simulation"):
        read_truth(tmp_path / "R0001-JNGFR01.h5")
