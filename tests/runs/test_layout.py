"""METADATA and INDEX."""

import h5py
import numpy as np
import pytest

from calibook.runs.layout import copy_index, copy_metadata, source_ids, write_index, write_metadata

RAW, CORRECTED = "X_JF1M/DET/JNGFR01:daqOutput/data", "X_JF1M/CORR/JNGFR01:daqOutput/data"
CREATED = "20240102T030405Z"


def _write_raw(path):
    with h5py.File(path, "w") as f:
        sources = {f"INSTRUMENT/{RAW}", "INSTRUMENT/OTHER/CAM/1:output/data", "CONTROL/X_JF1M/DET/CONTROL"}
        write_metadata(f, sources, run=4, sequence=2, proposal=900123, created=CREATED, sample="salt")
        write_index(f, np.arange(10, 13), np.arange(3) + 5, np.array([1, 0, 1]), {RAW: np.array([2, 0, 3])})


def test_metadata_says_who_wrote_the_file_and_which_sources_it_has(tmp_path):
    _write_raw(tmp_path / "raw.h5")
    with h5py.File(tmp_path / "raw.h5") as f:
        assert source_ids(f) == [
            "CONTROL/X_JF1M/DET/CONTROL",
            "INSTRUMENT/OTHER/CAM/1:output/data",
            f"INSTRUMENT/{RAW}",
        ]
        lists = f["METADATA/dataSources"]
        assert lists["root"][2] == b"INSTRUMENT" and lists["deviceId"][2] == RAW.encode()
        assert f["METADATA/dataFormatVersion"][0] == b"1.2"
        assert f["METADATA/creationDate"][0] == f["METADATA/updateDate"][0] == CREATED.encode()
        assert [f[f"METADATA/{name}Number"][0] for name in ("run", "sequence", "proposal")] == [4, 2, 900123]


def test_an_empty_train_carries_the_running_offset(tmp_path):
    _write_raw(tmp_path / "raw.h5")
    with h5py.File(tmp_path / "raw.h5") as f:
        np.testing.assert_array_equal(f[f"INDEX/{RAW}/first"], [0, 2, 2])
        np.testing.assert_array_equal(f[f"INDEX/{RAW}/count"], [2, 0, 3])
        dtypes = {name: f[f"INDEX/{name}"].dtype.str for name in ("trainId", "timestamp", "flag", "origin")}
        assert dtypes == {"trainId": "<u8", "timestamp": "<u8", "flag": "<i4", "origin": "<i4"}


def test_a_copy_keeps_all_but_padding_and_other_sources(tmp_path):
    _write_raw(tmp_path / "raw.h5")
    with h5py.File(tmp_path / "raw.h5", "r+") as f:
        for name, padded in {"trainId": [10, 11, 12, 0], "flag": [1, 0, 1, 0]}.items():
            dtype = f[f"INDEX/{name}"].dtype
            del f[f"INDEX/{name}"]
            f.create_dataset(f"INDEX/{name}", data=np.array(padded, dtype), maxshape=(None,))
        f["METADATA/dataFormatVersion"][0] = b"1.3"
        f[f"INDEX/{RAW}/first"][:] = [4, 0, 6]  # a gap, and 0 for the empty train
    with h5py.File(tmp_path / "raw.h5") as f, h5py.File(tmp_path / "new.h5", "w") as new:
        copy_metadata(f, new, {RAW: CORRECTED})
        copy_index(f, new, {RAW: CORRECTED})
    with h5py.File(tmp_path / "new.h5") as new:
        assert source_ids(new) == [f"INSTRUMENT/{CORRECTED}"]
        assert new["METADATA/dataFormatVersion"][0] == b"1.3"
        assert new["METADATA/creationDate"][0] == CREATED.encode()
        assert new["METADATA/sample"][0] == b"salt"
        np.testing.assert_array_equal(new["INDEX/trainId"], [10, 11, 12])
        np.testing.assert_array_equal(new["INDEX/timestamp"], [5, 6, 7])
        np.testing.assert_array_equal(new["INDEX/flag"], [1, 0, 1])
        np.testing.assert_array_equal(new[f"INDEX/{CORRECTED}/first"], [0, 2, 2])
        assert new["INDEX/trainId"].maxshape == (3,)


def test_the_oldest_files_list_their_sources_directly_in_metadata(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as f, h5py.File(tmp_path / "new.h5", "w") as new:
        f["METADATA/dataSourceId"] = np.array([f"INSTRUMENT/{RAW}", ""], "S")
        copy_metadata(f, new, {RAW: CORRECTED})
        assert source_ids(new) == [f"INSTRUMENT/{CORRECTED}"]
        assert "dataSources" not in new["METADATA"]


def test_a_file_without_a_list_of_sources_is_refused(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as f, pytest.raises(KeyError):
        source_ids(f)
