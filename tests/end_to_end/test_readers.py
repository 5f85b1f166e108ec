"""A corrected run, as the facility's software reads it."""

from __future__ import annotations

import socket
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import KARABO_ID, corrected_file, images

CONSTANTS = {"Offset10Hz", "Noise10Hz", "BadPixelsDark10Hz", "RelativeGain10Hz"}
PDUS = {"JNGFR01": f"{KARABO_ID}_JNGFR01", "JNGFR02": f"{KARABO_ID}_JNGFR02"}


@pytest.fixture(scope="module")
def expected(corrected) -> dict[str, np.ndarray]:
    """adc, gain, mask by plain h5py: (module, train, 1, slow_scan, fast_scan)."""
    modules = [images(corrected_file(corrected, module=module)) for module in (1, 2)]
    return {name: np.stack([module[name] for module in modules]) for name in ("adc", "gain", "mask")}


@pytest.fixture(scope="module")
def component(corrected):
    from extra_data import RunDirectory
    from extra_data.components import JUNGFRAU

    with RunDirectory(corrected) as run:
        yield JUNGFRAU(run, n_modules=2)


def test_the_validator_has_no_complaint(corrected):
    validator = Path(sys.executable).with_name("extra-data-validate")
    done = subprocess.run([validator, corrected], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "No problems found" in done.stdout


def test_the_component_reads_data_gain_and_mask(component, expected):
    assert component.detector_name == KARABO_ID
    for name, array in expected.items():
        assert array.any()
        np.testing.assert_array_equal(component[f"data.{name}"].ndarray(), array)
        labelled = component.get_array(f"data.{name}")
        assert labelled.dims == ("module", "train", "cell", "slow_scan", "fast_scan")


def test_the_component_masks_bad_pixels(component, expected):
    bad = expected["mask"] != 0
    assert bad.any()
    masked = component.masked_data().ndarray()
    np.testing.assert_array_equal(np.isnan(masked), bad)
    np.testing.assert_array_equal(masked[~bad], expected["adc"][~bad])


def test_the_trains_are_those_of_the_raw_run(detector, corrected):
    from extra_data import H5File

    with (
        H5File(corrected_file(corrected)) as ours,
        H5File(detector.raw / "r0004" / "RAW-R0004-JNGFR01-S00000.h5") as raw,
    ):
        assert ours.train_ids == raw.train_ids
        for key in ("memoryCell", "frameNumber", "bunchId", "timestamp", "trainId"):
            now = ours[f"{KARABO_ID}/CORR/JNGFR01:daqOutput", f"data.{key}"].ndarray()
            then = raw[f"{KARABO_ID}/DET/JNGFR01:daqOutput", f"data.{key}"].ndarray()
            np.testing.assert_array_equal(now, then)


def test_a_virtual_cxi_file_shows_the_same(component, expected, tmp_path):
    component.write_virtual_cxi(tmp_path / "run.cxi")
    with h5py.File(tmp_path / "run.cxi") as file:
        for cxi_name, name in [("data", "adc"), ("gain", "gain"), ("mask", "mask")]:
            shown = file[f"entry_1/instrument_1/detector_1/{cxi_name}"][()]
            np.testing.assert_array_equal(shown, expected[name][:, :, 0].swapaxes(0, 1))


def test_plain_h5py_reads_all_without_plugins(corrected, expected):
    """A fresh process that has h5py and NumPy alone, and no folder of HDF5 plugins."""
    script = """
import sys, zlib, h5py, numpy
assert "hdf5plugin" not in sys.modules and not h5py.h5pl.size()
with h5py.File(sys.argv[1]) as file:
    count = []
    file.visititems(lambda name, item: count.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    group = file[sys.argv[2]]
    for name in ("adc", "gain", "mask"):
        print(name, zlib.crc32(group[name][()]))
"""
    where = [corrected_file(corrected), f"INSTRUMENT/{KARABO_ID}/CORR/JNGFR01:daqOutput/data"]
    plain = ["env", "-i", "HDF5_PLUGIN_PATH=", sys.executable, "-I", "-c", script, *map(str, where)]
    done = subprocess.run(plain, capture_output=True, text=True, check=False)
    sums = [f"{name} {zlib.crc32(np.ascontiguousarray(array[0]))}" for name, array in expected.items()]
    assert done.stdout.splitlines() == sums, done.stderr


def test_no_dataset_can_grow(corrected):
    """Extensible datasets are what some readers take for a file that is still being written."""

    def check(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            assert item.maxshape == item.shape, name

    with h5py.File(corrected_file(corrected)) as file:
        file.visititems(check)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("something asked the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)


def test_extra_finds_and_loads_every_constant_without_network(corrected, detector, no_network):
    from extra.calibration import BadPixels, CalibrationData

    found = CalibrationData.from_correction(corrected, use_calcat=False)
    assert set(found) == CONSTANTS
    assert set(found.aggregator_names) == set(PDUS)
    for name in found:
        for aggregator, pdu in PDUS.items():
            constant = found[name, aggregator]
            assert constant.pdu_name == pdu
            # EXtra wants a root outside the facility even for a path that is absolute.
            array = constant.ndarray(caldb_root=detector.store)
            assert array.shape == (1024, 512, 1, 3)
            assert constant.dimension_names(detector.store) == ("fast_scan", "slow_scan", "cell", "gain")
            assert np.isfinite(array).mean() > 0.99
    bad = found["BadPixelsDark10Hz"].ndarray(caldb_root=detector.store)
    assert bad.shape == (2, 1024, 512, 1, 3)
    assert (bad & BadPixels.OFFSET_OUT_OF_THRESHOLD).any()


def test_extra_gives_the_constants_that_were_used(corrected, detector, expected):
    """The corrected values follow from the raw ones and the constants as EXtra loads them."""
    from extra.calibration import CalibrationData

    found = CalibrationData.from_correction(corrected, use_calcat=False)
    offset, gain = (
        found[name, "JNGFR01"].ndarray(caldb_root=detector.store)[:, :, 0].T
        for name in ("Offset10Hz", "RelativeGain10Hz")
    )
    raw = images(detector.raw / "r0004" / "RAW-R0004-JNGFR01-S00000.h5")
    stage = np.minimum(raw["gain"], 2)[:, 0]
    value = (raw["adc"][:, 0] - np.choose(stage, offset)) / np.choose(stage, gain)
    good = expected["mask"][0][:, 0] == 0
    # Offsets are rounded to float32: 14000 ADU to 0.0005, which is 0.005 keV in G2.
    np.testing.assert_allclose(expected["adc"][0][:, 0][good], value[good], rtol=1e-6, atol=0.01)
