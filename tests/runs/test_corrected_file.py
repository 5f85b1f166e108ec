"""Corrected files: content, layout, and bytes that depend on the content alone."""

import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from correcting import correct, corrected_arrays
from raw_runs import FIRST_TRAIN, KARABO_ID, SMALL, replace_dataset

from calibook.errors import BadInput, CalibookError
from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.raw_file import open_raw

DATA = f"INSTRUMENT/{KARABO_ID}/CORR/JNGFR01:daqOutput/data"
INDEX = DATA.replace("INSTRUMENT", "INDEX")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "proc" / "CORR-R0004-JNGFR01-S00000.h5"


def _assert_content(made, target):
    adc, gain, mask = corrected_arrays(made.adc, made.gain)
    with h5py.File(target) as f:
        for name, expected in {"adc": adc, "gain": gain, "mask": mask}.items():
            assert f[f"{DATA}/{name}"].dtype == expected.dtype
            np.testing.assert_array_equal(f[f"{DATA}/{name}"], expected)
        np.testing.assert_array_equal(f[f"{DATA}/memoryCell"], made.cells)


def test_a_file_holds_what_was_written(made, target):
    correct(made, target)
    _assert_content(made, target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_layout_of_the_datasets(made, target):
    correct(made, target)
    with h5py.File(target) as f:
        group = f[DATA]
        found = {
            name: (group[name].dtype.str, group[name].compression, group[name].compression_opts)
            for name in ("adc", "gain", "mask")
        }
        assert found == {
            "adc": ("<f4", None, None),
            "gain": ("|u1", "gzip", 1),
            "mask": ("<u4", "gzip", 1),
        }
        ids = {name: (group[name].dtype.str, group[name].shape) for name in group if name not in found}
        assert ids == {
            "memoryCell": ("|u1", (6, 4)),
            "frameNumber": ("<u8", (6, 4)),
            "bunchId": ("<u8", (6, 4)),
            "timestamp": ("<f8", (6, 4)),
            "trainId": ("<u8", (6,)),
        }
        for name in found:
            assert group[name].shape == (6, 4, 32, 64)
            assert group[name].chunks == (1, 1, 32, 64)
            assert not group[name].shuffle

        def check(name, thing):
            assert not thing.attrs, name
            if isinstance(thing, h5py.Dataset):
                assert thing.maxshape == thing.shape, name

        f.visititems(check)


def test_metadata_and_index_are_those_of_the_raw_file(make, target):
    made = make(counts=[1, 0, 1, 1])
    correct(made, target)
    with h5py.File(made.path) as raw, h5py.File(target) as f:
        np.testing.assert_array_equal(f["INDEX/trainId"], FIRST_TRAIN + np.arange(4))
        np.testing.assert_array_equal(f[f"{INDEX}/count"], [1, 0, 1, 1])
        np.testing.assert_array_equal(f[f"{INDEX}/first"], [0, 1, 1, 2])
        np.testing.assert_array_equal(f[f"{DATA}/trainId"], FIRST_TRAIN + np.array([0, 2, 3]))
        for name in ("creationDate", "dataFormatVersion", "proposalNumber", "runNumber", "sequenceNumber"):
            assert f[f"METADATA/{name}"][0] == raw[f"METADATA/{name}"][0]
        assert list(f["METADATA/dataSources/dataSourceId"]) == [DATA.encode()]


def test_keys_that_the_raw_file_lacks_are_left_out(made, target):
    with h5py.File(made.path, "r+") as f:
        del f[f"{made.data}/bunchId"]
    correct(made, target)
    with h5py.File(target) as f:
        assert "bunchId" not in f[DATA]
        assert "frameNumber" in f[DATA]


def test_padding_of_raw_files_is_left_behind(made, target):
    for name in ("adc", "gain", "memoryCell", "frameNumber"):
        with h5py.File(made.path) as f:
            data = f[f"{made.data}/{name}"][()]
        replace_dataset(made.path, f"{made.data}/{name}", data=np.concatenate([data, data[:2]]))
    correct(made, target)
    _assert_content(made, target)


def test_bytes_do_not_depend_on_threads_blocks_order_or_time(make, tmp_path):
    made = make(trains=9)
    variants = {
        "reference": {"frames": 8, "threads": 1},
        "four threads": {"frames": 8, "threads": 4},
        "small blocks": {"frames": 4, "threads": 2},
        "one block": {"frames": 1000, "threads": 4},
        "backwards": {"frames": 12, "threads": 2, "order": lambda blocks: blocks[::-1]},
        "shuffled": {"frames": 4, "threads": 3, "order": lambda blocks: blocks[1::2] + blocks[::2]},
    }
    contents = {}
    for name, how in variants.items():
        target = tmp_path / f"{name}.h5"
        correct(made, target, **how)
        contents[name] = target.read_bytes()
    time.sleep(1.1)  # HDF5 counts times in seconds
    correct(made, tmp_path / "later.h5", frames=8, threads=1)
    contents["later"] = (tmp_path / "later.h5").read_bytes()
    assert len(contents["reference"]) > 9 * 4 * 32 * 64 * 4
    assert {name for name, content in contents.items() if content != contents["reference"]} == set()


def test_an_error_leaves_nothing(made, target):
    with (
        open_raw(made.path, SMALL, KARABO_ID) as raw,
        pytest.raises(ZeroDivisionError),
        CorrectedWriter(target, raw, SMALL) as writer,
    ):
        block = next(raw.blocks(8))
        writer.write(block, *corrected_arrays(block.images["adc"], block.images["gain"]))
        raise ZeroDivisionError
    assert list(target.parent.iterdir()) == []


def test_an_incomplete_file_does_not_appear(made, target):
    with (
        open_raw(made.path, SMALL, KARABO_ID) as raw,
        pytest.raises(CalibookError, match="4 of 6 entries were not written, the first is 2"),
        CorrectedWriter(target, raw, SMALL) as writer,
    ):
        block = next(raw.blocks(8))
        writer.write(block, *corrected_arrays(block.images["adc"], block.images["gain"]))
    assert list(target.parent.iterdir()) == []


def test_an_old_file_stays_until_the_new_one_is_whole(made, target):
    target.parent.mkdir()
    target.write_text("old")
    with h5py.File(made.path, "r+") as f:
        del f[f"{made.data}/adc"]
        f.create_dataset(
            f"{made.data}/adc", made.adc.shape, "u2", external=[("/no/such", 0, made.adc.nbytes)]
        )
    with pytest.raises(BadInput):
        correct(made, target)
    assert target.read_text() == "old"


def test_a_block_written_twice_or_with_other_arrays_is_refused(made, target):
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        block = next(raw.blocks(8))
        data, gain, mask = corrected_arrays(block.images["adc"], block.images["gain"])
        with pytest.raises(ValueError, match="written before"), CorrectedWriter(target, raw, SMALL) as writer:
            for bad in [(data.astype("f8"), gain, mask), (data, gain[1:], mask), (data, gain, mask[:, ::-1])]:
                with pytest.raises(ValueError, match="expected C-contiguous"):
                    writer.write(block, *bad)
            writer.write(block, data, gain, mask)
            writer.write(block, data, gain, mask)
    assert list(target.parent.iterdir()) == []


def test_blocks_may_come_from_several_threads(make, target):
    from concurrent.futures import ThreadPoolExecutor

    made = make(trains=12)
    correct(made, target, frames=4)
    alone = target.read_bytes()
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        blocks = [
            (replace(block, images={}), *corrected_arrays(block.images["adc"], block.images["gain"]))
            for block in raw.blocks(4)
        ]
        with CorrectedWriter(target, raw, SMALL) as writer, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda arguments: writer.write(*arguments), blocks))
    assert target.read_bytes() == alone


def test_frames_on_axis_0(made, target):
    """A detector whose entries are frames: images (N, y, x), IDs (N,)."""
    detector = replace(SMALL, frames_in_train=False)
    for name in (*SMALL.image_keys, *SMALL.frame_keys):
        with h5py.File(made.path) as f:
            values = f[f"{made.data}/{name}"][()]
        values = values.reshape(24, *(SMALL.module_shape if name in SMALL.image_keys else (1,)))
        replace_dataset(made.path, f"{made.data}/{name}", data=values)
    replace_dataset(made.path, f"{made.data}/trainId", data=np.zeros(24, "u8"))
    replace_dataset(made.path, f"{made.index}/count", data=np.array([5, 0, 9, 3, 7, 0], "u8"))
    replace_dataset(made.path, f"{made.index}/first", data=np.array([0, 0, 5, 14, 17, 0], "u8"))
    correct(replace(made, detector=detector), target, frames=7)
    adc, gain, mask = corrected_arrays(made.adc, made.gain)
    with h5py.File(target) as f:
        assert f[f"{DATA}/mask"].chunks == (1, 32, 64)
        for name, expected in {"adc": adc, "gain": gain, "mask": mask}.items():
            np.testing.assert_array_equal(f[f"{DATA}/{name}"], expected.reshape(24, 32, 64))
        assert f[f"{DATA}/memoryCell"].shape == (24,)
        np.testing.assert_array_equal(f[f"{INDEX}/first"], [0, 5, 5, 14, 17, 24])
