"""What users' software makes of a corrected run: EXtra-data's validator, component and CXI, plain h5py."""

import inspect
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from correcting import correct, corrected_arrays
from raw_runs import FIRST_TRAIN, KARABO_ID, MadeFile, make_file

from calibook.detectors.jungfrau import JUNGFRAU
from calibook.runs.names import corrected_name, parse_file_name


@dataclass(frozen=True)
class CorrectedRun:
    """A corrected run of full-size frames: trains 0..2 in sequence 0, one train missing in module 2."""

    folder: Path
    made: dict[int, MadeFile]

    def expected(self, key: str, missing: float = 0) -> np.ndarray:
        """Truth of a key: (module, train, cell, y, x), with a value where a module sent nothing."""
        arrays = []
        for made in self.made.values():
            values = corrected_arrays(made.adc, made.gain)[["adc", "gain", "mask"].index(key)]
            full = np.full((3, *values.shape[1:]), missing, values.dtype)
            full[[0, 1, 2] if len(values) == 3 else [0, 2]] = values
            arrays.append(full)
        return np.stack(arrays)


@pytest.fixture(scope="module", params=[1, 2], ids=["single cell", "two cells"])
def run(request, tmp_path_factory) -> CorrectedRun:
    """Two modules; one frame per train makes 4-D gzip chunks of just the shape EXtra-data once misread."""
    folder = tmp_path_factory.mktemp("run")
    made = {}
    for module, counts in {1: [1, 1, 1], 2: [1, 0, 1]}.items():
        made[module] = make_file(folder / "raw", JUNGFRAU, module, frames=request.param, counts=counts)
        name = corrected_name(parse_file_name(made[module].path))
        correct(made[module], folder / "proc" / str(name), frames=2)
    return CorrectedRun(folder / "proc", made)


def test_the_validator_has_no_complaint(run):
    from extra_data.validation import FileValidator, RunValidator, _open_file

    for path in run.folder.glob("*.h5"):
        access, problems = _open_file(str(path))
        assert problems == []
        assert FileValidator(access).run_checks() == []
        access.close()
    assert RunValidator(str(run.folder)).run_checks() == []


@pytest.mark.parametrize("threads", [1, 4])
def test_the_component_reads_all_images(run, threads, monkeypatch):
    """Whatever the number of threads: release 1.25 read some compressed 4-D arrays as zeros with several."""
    from extra_data import RunDirectory
    from extra_data.components import JUNGFRAU as Component

    monkeypatch.setenv("EXTRA_NUM_THREADS", str(threads))
    with RunDirectory(run.folder) as data:
        detector = Component(data, n_modules=2)
        assert detector.detector_name == KARABO_ID
        for key in ("adc", "gain", "mask"):
            expected = run.expected(key)
            assert expected.any()
            keydata = detector[f"data.{key}"]
            takes_threads = "decompress_threads" in inspect.signature(keydata.ndarray).parameters
            option = {"decompress_threads": threads} if takes_threads else {}
            np.testing.assert_array_equal(keydata.ndarray(fill_value=0, **option), expected)
            source = f"{KARABO_ID}/CORR/JNGFR01:daqOutput"
            np.testing.assert_array_equal(data[source, f"data.{key}"].ndarray(), expected[0])


def test_the_component_labels_the_axes(run):
    from extra_data import RunDirectory
    from extra_data.components import JUNGFRAU as Component

    with RunDirectory(run.folder) as data:
        array = Component(data, n_modules=2).get_array("data.adc", fill_value=0)
    assert array.dims == ("module", "train", "cell", "slow_scan", "fast_scan")
    np.testing.assert_array_equal(array["train"], FIRST_TRAIN + np.arange(3))
    np.testing.assert_array_equal(array, run.expected("adc"))


def test_masked_pixels_are_masked(run):
    from extra_data import RunDirectory
    from extra_data.components import JUNGFRAU as Component

    with RunDirectory(run.folder) as data:
        masked = Component(data, n_modules=2).masked_data().ndarray()
    bad = run.expected("mask")[0] > 0
    assert bad.any()
    np.testing.assert_array_equal(np.isnan(masked[0]), bad)


def test_a_cxi_file_shows_the_same_images(run, tmp_path):
    from extra_data import RunDirectory
    from extra_data.components import JUNGFRAU as Component

    with RunDirectory(run.folder) as data:
        Component(data, n_modules=2).write_virtual_cxi(tmp_path / "run.cxi")
    with h5py.File(tmp_path / "run.cxi") as f:
        for cxi_key, key, missing in [
            ("data", "adc", np.nan),
            ("gain", "gain", 0),
            ("mask", "mask", 0xFFFFFFFF),
        ]:
            images = f[f"entry_1/instrument_1/detector_1/{cxi_key}"][()]
            expected = run.expected(key, missing)  # (module, train, cell, y, x) -> (frame, module, y, x)
            expected = expected.reshape(2, -1, *JUNGFRAU.module_shape).swapaxes(0, 1)
            np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(f["entry_1/memoryCell"], run.made[1].cells.ravel())


def test_plain_h5py_reads_everything_in_a_fresh_process(run):
    path = run.folder / "CORR-R0004-JNGFR01-S00000.h5"
    script = f"""
import h5py, zlib, numpy as np
with h5py.File({str(path)!r}) as f:
    g = f["INSTRUMENT/{KARABO_ID}/CORR/JNGFR01:daqOutput/data"]
    for key in ("adc", "gain", "mask"):
        print(key, zlib.crc32(np.ascontiguousarray(g[key][()])))
"""
    output = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    expected = [f"{key} {zlib.crc32(run.expected(key)[0])}" for key in ("adc", "gain", "mask")]
    assert output.stdout.splitlines() == expected


def test_raw_and_corrected_runs_can_be_opened_together(run):
    from extra_data import RunDirectory
    from extra_data.components import JUNGFRAU as Component

    with RunDirectory(run.folder) as corrected, RunDirectory(run.made[1].path.parent) as raw:
        both = raw.union(corrected)
        assert Component(both, n_modules=2)["data.adc"].dtype == np.float32
        assert Component(both, n_modules=2, raw=True)["data.adc"].dtype == np.uint16
