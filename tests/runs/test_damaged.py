"""Raw files that can't be used: the error names file, dataset and cause before any frame is read."""

import os
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from raw_runs import FIRST_TRAIN, KARABO_ID, SMALL, replace_dataset

from calibook.errors import BadInput
from calibook.runs.raw_file import open_raw


def _refused(made, dataset="", why="", train=None):
    """Opening raises BadInput with these particulars."""
    with pytest.raises(BadInput) as error:
        open_raw(made.path, SMALL, KARABO_ID)
    assert error.value.file == str(made.path)
    assert error.value.dataset == dataset
    assert re.search(why, error.value.why), error.value.why
    assert error.value.train == train
    assert str(made.path) in str(error.value)


def test_a_missing_file(made):
    made.path.unlink()
    _refused(made, why="No such file")


def test_an_empty_file(made):
    made.path.write_bytes(b"")
    _refused(made, why="the file is empty")


def test_not_hdf5(made):
    made.path.write_bytes(b"trainId,adc\n1,2\n" * 1000)
    _refused(made, why="not an HDF5 file")


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.02])
def test_a_truncated_file(made, keep):
    size = int(made.path.stat().st_size * keep)
    os.truncate(made.path, size)
    _refused(made, why=rf"truncated: it ends after {size} bytes")


@pytest.mark.parametrize("size", [8, 60])
def test_a_file_truncated_inside_its_first_block(made, size):
    os.truncate(made.path, size)
    _refused(made, why="truncated")


def test_an_unreadable_file(made):
    made.path.chmod(0)
    made.path.parent.chmod(0o755)
    user = os.geteuid()
    try:
        if user == 0:  # root may read everything
            os.seteuid(65534)
        with pytest.raises(BadInput, match="can't be opened: Permission denied"):
            open_raw(made.path, SMALL, KARABO_ID)
    finally:
        if user == 0:
            os.seteuid(0)


def test_a_folder(made):
    made.path.unlink()
    made.path.mkdir()
    _refused(made, why="Is a directory")


def test_another_kind_of_name(made):
    other = made.path.with_name("RAW-R0004-JNGFRCTRL00-S00000.h5")
    made.path.rename(other)
    with pytest.raises(BadInput, match=r"not named like a raw file of JUNGFRAU, e.g. RAW-R0000-JNGFR01"):
        open_raw(other, SMALL, KARABO_ID)


@pytest.mark.parametrize("name", ["adc", "gain", "memoryCell"])
def test_a_missing_dataset(made, name):
    with h5py.File(made.path, "r+") as f:
        del f[f"{made.data}/{name}"]
    _refused(made, f"{made.data}/{name}", "missing; .* has .*frameNumber")


@pytest.mark.parametrize("name", ["first", "count"])
def test_a_missing_index(made, name):
    with h5py.File(made.path, "r+") as f:
        del f[f"{made.index}/{name}"]
    _refused(made, f"{made.index}/{name}", "missing; INDEX/.*/data has (first|count)$")


def test_another_detectors_file(made):
    with h5py.File(made.path, "r+") as f:
        for root in ("INDEX", "INSTRUMENT"):
            f.move(f"{root}/{KARABO_ID}", f"{root}/SPB_IRDA_JF4M")
    _refused(made, f"{made.index}/first", "missing; INDEX has SPB_IRDA_JF4M, flag")


def test_no_index_at_all(made):
    with h5py.File(made.path, "r+") as f:
        del f["INDEX"]
    _refused(made, "INDEX/trainId", "missing; / has INSTRUMENT, METADATA")


def test_no_metadata(made):
    with h5py.File(made.path, "r+") as f:
        del f["METADATA"]
    _refused(made, "METADATA", "missing")


def test_several_values_for_a_frame(made):
    frames = replace(SMALL, frames_in_train=False)
    for name in (*SMALL.image_keys, "memoryCell"):
        with h5py.File(made.path) as f:
            values = f[f"{made.data}/{name}"][:, 0]
        values = np.stack([values, values], 1) if name == "memoryCell" else values
        replace_dataset(made.path, f"{made.data}/{name}", data=values)
    with pytest.raises(BadInput, match=r"memoryCell: has shape \(6, 2\), expected one value per entry"):
        open_raw(made.path, frames, KARABO_ID)


def test_a_group_in_place_of_a_dataset(made):
    with h5py.File(made.path, "r+") as f:
        del f[f"{made.data}/adc"]
        f.create_group(f"{made.data}/adc")
    _refused(made, f"{made.data}/adc", "a group where a dataset should be")


@pytest.mark.parametrize(
    ("name", "dtype", "why"),
    [
        ("adc", "f4", "has type float32, expected uint16"),
        ("gain", "u2", "has type uint16, expected uint8"),
        ("memoryCell", "f8", "has type float64, expected integers"),
    ],
)
def test_a_wrong_type(made, name, dtype, why):
    replace_dataset(made.path, f"{made.data}/{name}", dtype=dtype)
    _refused(made, f"{made.data}/{name}", why)


@pytest.mark.parametrize(
    ("name", "shape", "why"),
    [
        ("adc", (6, 4, 64, 32), r"has shape \(6, 4, 64, 32\), expected \(trains, frames, 32, 64\)"),
        ("adc", (6, 4 * 32, 64), "has shape"),
        ("adc", (6 * 4 * 32 * 64,), "has shape"),
        ("gain", (6, 2, 32, 64), "frames per train differ.*'adc': 4, 'gain': 2"),
        ("memoryCell", (6, 3), r"has shape \(6, 3\), expected \(trains, 4\)"),
        ("memoryCell", (24,), r"has shape \(24,\)"),
        ("trainId", (6, 4), "expected one value per entry"),
        ("trainId", (), "expected one value per entry"),
    ],
)
def test_a_wrong_shape(made, name, shape, why):
    with h5py.File(made.path) as f:
        dtype = f[f"{made.data}/{name}"].dtype
    replace_dataset(made.path, f"{made.data}/{name}", data=np.zeros(shape, dtype))
    _refused(made, f"{made.data}/{name}", why)


@pytest.mark.parametrize("trains", [[], [0, 0, 0]])
def test_no_trains(made, trains):
    replace_dataset(made.path, "INDEX/trainId", data=np.array(trains, "u8"))
    _refused(made, "INDEX/trainId", "no trains")


def test_zeros_between_train_ids(made):
    replace_dataset(made.path, "INDEX/trainId", data=np.array([10, 11, 0, 13, 14, 15], "u8"))
    _refused(made, "INDEX/trainId", "zeros between")


def test_train_ids_that_are_no_integers(made):
    replace_dataset(made.path, "INDEX/trainId", dtype="f8")
    _refused(made, "INDEX/trainId", "expected integers")


def test_no_frames(made):
    replace_dataset(made.path, f"{made.index}/count", data=np.zeros(6, "u8"))
    _refused(made, f"{made.index}/count", "no frames")


def test_too_few_values_in_the_index(made):
    replace_dataset(made.path, f"{made.index}/first", data=np.arange(4, dtype="u8"))
    _refused(made, f"{made.index}/first", "4 values for 6 trains")


@pytest.mark.parametrize("name", ["adc", "gain", "memoryCell", "frameNumber", "trainId"])
def test_counts_that_refer_to_more_than_a_dataset_has(made, name):
    with h5py.File(made.path) as f:
        data = f[f"{made.data}/{name}"][:5]
    replace_dataset(made.path, f"{made.data}/{name}", data=data)
    _refused(made, f"{made.data}/{name}", "refers to entries up to 6, the dataset has 5", FIRST_TRAIN + 5)


@pytest.mark.parametrize("count", [2**64 - 1, 2**62, 2**41])
def test_counts_beyond_reason(made, count):
    replace_dataset(made.path, f"{made.index}/count", data=np.array([1, 1, count, 1, 1, 1], "u8"))
    _refused(made, f"{made.index}/count", "impossible entries", FIRST_TRAIN + 2)


def test_trains_that_overlap(made):
    replace_dataset(made.path, f"{made.index}/first", data=np.array([0, 1, 1, 3, 4, 5], "u8"))
    _refused(made, f"{made.index}/count", "overlap", FIRST_TRAIN + 2)


def test_damage_in_an_index_dataset(made):
    replace_dataset(made.path, f"{made.index}/first", chunks=(6,), compression="gzip")
    with h5py.File(made.path) as f:
        chunk = f[f"{made.index}/first"].id.get_chunk_info(0)
    with open(made.path, "r+b") as f:
        f.seek(chunk.byte_offset)
        f.write(b"\xff" * chunk.size)
    _refused(made, f"{made.index}/first", "can't be read")


def test_a_refused_file_is_closed(made):
    replace_dataset(made.path, f"{made.data}/adc", dtype="f4")
    _refused(made, f"{made.data}/adc")
    with h5py.File(made.path, "r+"):  # HDF5 would not open it for writing while it is open for reading
        pass
