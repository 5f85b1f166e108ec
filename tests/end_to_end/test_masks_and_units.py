"""Options of the correction: units, rounding, masks by name, common mode; threads make no difference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import corrected_alone, corrected_file, hashes, images, work_folder

from calibook.detectors.bad_pixels import BadPixels
from calibook.files import read_json

ENERGY = 9.3  # keV, the default
CHOSEN = BadPixels.OFFSET_OUT_OF_THRESHOLD | BadPixels.WRONG_GAIN_VALUE


@dataclass(frozen=True)
class Expected:
    """A module's raw frames and constants, and the formula of the correction in float32."""

    adc: np.ndarray
    code: np.ndarray
    offset: np.ndarray
    gain: np.ndarray

    def value(self, *, per_photon: float | None = None, in_adu: bool = False) -> np.ndarray:
        """f4 (train, slow_scan, fast_scan), in keV if nothing else is asked for."""
        scale = np.ones_like(self.gain) if in_adu else 1 / self.gain / (per_photon or 1.0)
        stage = np.minimum(self.code, 2)
        offset, scale = (np.choose(stage, array.astype("f4")) for array in (self.offset, scale))
        return np.where(self.code == 2, np.float32(0), (self.adc.astype("f4") - offset) * scale)


def constant(work: Path, calibration: str) -> np.ndarray:
    """A constant of module 1 that a request has pinned: (gain, slow_scan, fast_scan)."""
    [entry] = (
        entry
        for entry in read_json(work / "plan.json")["plan"]["constants"]
        if (entry["calibration"], entry["karabo_da"]) == (calibration, "JNGFR01")
    )
    with h5py.File(Path(entry["store"]) / entry["path"]) as file:
        data = file[entry["dataset"]]["data"]
        axes = [list(data.attrs["dims"]).index(name) for name in ("gain", "slow_scan", "fast_scan", "cell")]
        return data[()].transpose(axes)[..., 0]


@pytest.fixture(scope="module")
def expected(detector, corrected) -> Expected:
    raw = images(detector.raw / "r0004" / "RAW-R0004-JNGFR01-S00000.h5")
    offset, gain = (constant(work_folder(corrected), name) for name in ("Offset10Hz", "RelativeGain10Hz"))
    return Expected(raw["adc"][:, 0], raw["gain"][:, 0], offset, gain)


@pytest.fixture
def correct_module(detector, tmp_path):
    """Correct module 1 of a run with some parameters: its arrays, (train, slow_scan, fast_scan)."""

    def call(run: int = 4, folder: str = "proc", **values: Any) -> dict[str, np.ndarray]:
        out = tmp_path / folder
        corrected_alone(detector.raw, run, out, store=detector.store, modules=[1], **values)
        return {name: array[:, 0] for name, array in images(corrected_file(out, run)).items()}

    return call


@pytest.fixture(scope="module")
def in_kev(corrected) -> dict[str, np.ndarray]:
    return {name: array[:, 0] for name, array in images(corrected_file(corrected)).items()}


def test_the_default_is_kev_and_keeps_every_value(in_kev, expected):
    """Bit for bit the formula in float32; masked or not."""
    np.testing.assert_array_equal(in_kev["adc"], expected.value())
    np.testing.assert_array_equal(in_kev["gain"], np.minimum(expected.code, 2))
    unknown = ~np.isfinite(expected.value())
    np.testing.assert_array_equal((in_kev["mask"] & BadPixels.VALUE_IS_NAN) != 0, unknown)


def test_named_bits_become_nan_and_nothing_else_does(in_kev, correct_module):
    found = correct_module(masks=[bit.name for bit in CHOSEN])
    np.testing.assert_array_equal(found["mask"], in_kev["mask"])
    for bit in CHOSEN:
        assert ((in_kev["mask"] & bit) != 0).sum() > 100, f"a run with no {bit.name} shows nothing"
    chosen = (in_kev["mask"] & CHOSEN) != 0
    np.testing.assert_array_equal(found["adc"], np.where(chosen, np.float32(np.nan), in_kev["adc"]))


def test_rounded_photons_are_whole_and_the_nearest(expected, correct_module):
    found = correct_module(unit="photons", round_photons=True)["adc"]
    photons = expected.value(per_photon=ENERGY)
    known = np.isfinite(photons)
    whole = np.maximum(np.floor(photons[known].astype("f8") + 0.5), 0)
    np.testing.assert_array_equal(found[known], whole)
    assert np.isnan(found[~known]).all()
    assert (whole == 0).any() and (whole == 1).any() and (whole > 1000).any()


def test_common_mode_takes_planted_shifts_out(detector, expected, correct_module):
    """Rows, columns and ASICs of the simulation shift by 1.5 and 0.7 ADU, against a noise of 12 ADU."""
    found = correct_module(run=1, unit="ADU", common_mode=True)
    good = (found["mask"] == 0).all(axis=0)
    assert (found["gain"] == 0).all(axis=0)[good].all()
    raw = images(detector.raw / "r0001" / "RAW-R0001-JNGFR01-S00000.h5")["adc"][:, 0]
    without = raw - expected.offset[0].astype("f4")

    def shifts(frames: np.ndarray) -> float:
        """Spread of what the pixels of an ADC, 64 columns of an ASIC, have in common in a frame."""
        adcs = np.where(good, frames, np.nan).reshape(len(frames), 2, 256, 16, 64)
        return float(np.nanmean(adcs, axis=(2, 4)).std())

    noise_of_mean = 12 / np.sqrt(256 * 64)
    assert shifts(without) > 10 * noise_of_mean
    assert shifts(found["adc"]) < 3 * noise_of_mean
    noise = [np.median(frames[:, good].std(axis=0)) for frames in (without, found["adc"])]
    assert noise[1] < noise[0]


def test_adu_is_the_signal_above_the_offset_whatever_the_threads(
    expected, correct_module, tmp_path, monkeypatch
):
    for threads in ("1", "4"):
        monkeypatch.setenv("CALIBOOK_THREADS", threads)
        found = correct_module(folder=threads, unit="ADU")["adc"]
        np.testing.assert_array_equal(found, expected.value(in_adu=True))
    assert hashes(tmp_path / "1") == hashes(tmp_path / "4") != {}
