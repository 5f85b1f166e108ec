"""Reading raw files in blocks of frames."""

import os
import threading
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import pytest
from raw_runs import FIRST_TRAIN, KARABO_ID, SMALL, START_NS, make_file, replace_dataset

from calibook.errors import BadInput
from calibook.runs.places import frame_places
from calibook.runs.raw_file import open_raw

LAYOUTS = {
    "contiguous": {},
    "chunks of a train": {"chunks": (1, 4, 32, 64)},
    "chunks of frames that reach beyond the end": {"chunks": (4, 3, 32, 64)},
    "chunks of a frame, gzip": {"chunks": (1, 1, 32, 64), "compression": "gzip", "shuffle": True},
    "chunks across trains and pixels, lzf": {"chunks": (4, 3, 10, 64), "compression": "lzf"},
    "extensible, big-endian": {"chunks": (2, 4, 32, 64), "maxshape": (None, 4, 32, 64), "dtype": ">u2"},
}


def _read(raw, frames):
    """All blocks put together: adc, gain (N, P), cells (N,)."""
    adc, gain, cells, ranges = [], [], [], []
    for block in raw.blocks(frames):
        adc.append(block.images["adc"].copy())
        gain.append(block.images["gain"].copy())
        cells.append(block.cells.copy())
        ranges.append((block.entries[0], block.entries[-1] + 1))
        assert block.frames == len(adc[-1]) == len(cells[-1])
    assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
    assert ranges[-1][1] == raw.n_entries
    return np.concatenate(adc), np.concatenate(gain), np.concatenate(cells)


def _assert_reads(raw, made, frames=8, entries=slice(None)):
    adc, gain, cells = _read(raw, frames)
    np.testing.assert_array_equal(adc, made.adc[entries].reshape(len(adc), -1))
    np.testing.assert_array_equal(gain, made.gain[entries].reshape(len(adc), -1))
    np.testing.assert_array_equal(cells, made.cells[entries].ravel())
    assert (adc.dtype, gain.dtype, cells.dtype) == (np.uint16, np.uint8, np.int64)
    assert adc.flags.c_contiguous


def test_attributes_of_an_open_file(made):
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        assert (raw.n_trains, raw.n_entries, raw.n_frames) == (6, 6, 24)
        assert (raw.frames_per_train, raw.frames_per_entry) == (4, 4)
        assert raw.image_shape == (32, 64)
        assert raw.source == f"{KARABO_ID}/DET/JNGFR01:daqOutput"
        assert raw.module == 1
        np.testing.assert_array_equal(raw.train_ids, FIRST_TRAIN + np.arange(6))
        np.testing.assert_array_equal(raw.timestamps, START_NS + np.arange(6) * 100_000_000)
        np.testing.assert_array_equal(raw.count, np.ones(6))
        assert raw.train_ids.dtype == raw.timestamps.dtype == np.uint64
        assert raw.count.dtype == np.int64
        np.testing.assert_array_equal(raw.ids("memoryCell"), made.cells)
    assert not raw.h5file


@pytest.mark.parametrize("frames", [1, 4, 7, 8, 20, 1000])
def test_blocks_of_any_size_give_the_same_frames(made, frames):
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        _assert_reads(raw, made, frames)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_a_dataset_does_not_matter(made, layout):
    replace_dataset(made.path, f"{made.data}/adc", **LAYOUTS[layout])
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        _assert_reads(raw, made)


def test_a_virtual_dataset_is_read_through_hdf5(made):
    with h5py.File(made.path, "r+") as f:
        group = f[made.data]
        group.move("adc", "elsewhere")
        layout = h5py.VirtualLayout(made.adc.shape, "u2")
        layout[:] = h5py.VirtualSource(group["elsewhere"])
        group.create_virtual_dataset("adc", layout)
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        _assert_reads(raw, made)


@pytest.mark.parametrize(
    ("options", "in_place"),
    [
        ({}, True),
        ({"chunks": (4, 3, 32, 64)}, True),
        ({"chunks": (1, 1, 16, 64)}, False),
        ({"chunks": (1, 4, 32, 64), "compression": "gzip"}, False),
        ({"chunks": (1, 4, 32, 64), "fletcher32": True}, False),
        ({"dtype": ">u2"}, False),
    ],
)
def test_places_are_those_of_the_frames_or_none(made, options, in_place):
    replace_dataset(made.path, f"{made.data}/adc", **options)
    with h5py.File(made.path) as f:
        places = frame_places(f[f"{made.data}/adc"], 2)
    assert (places is not None) == in_place
    if places is not None:
        content = made.path.read_bytes()
        for place, frame in zip(places, made.adc.reshape(24, -1), strict=True):
            assert content[place : place + frame.nbytes] == frame.tobytes()


def test_chunks_that_were_never_written_have_no_place(made):
    with h5py.File(made.path, "r+") as f:
        f.create_dataset("holes", (6, 4, 32, 64), "u2", chunks=(1, 4, 32, 64))[2] = 7
        assert frame_places(f["holes"], 2) is None
        assert frame_places(f.create_dataset("empty", (6, 4, 32, 64), "u2"), 2) is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_frames_of_some_pixels(made, layout):
    replace_dataset(made.path, f"{made.data}/adc", **LAYOUTS[layout])
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        for first, last in ((0, 1), (100, 1100), (2000, 2048), (0, 2048)):
            block = raw.read_pixels(first, last)
            for key, expected in (("adc", made.adc), ("gain", made.gain)):
                np.testing.assert_array_equal(block.images[key], expected.reshape(24, -1)[:, first:last])
        np.testing.assert_array_equal(block.cells, made.cells.ravel())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_some_pixels_of_some_entries(made, layout):
    replace_dataset(made.path, f"{made.data}/adc", **LAYOUTS[layout])
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        for entries in ([4, 1], [], [5, 4, 0]):
            block = raw.read_pixels(100, 1100, np.array(entries, int))
            expected = made.adc[entries].reshape(4 * len(entries), 2048)[:, 100:1100]
            np.testing.assert_array_equal(block.images["adc"], expected)
            np.testing.assert_array_equal(block.cells, made.cells[entries].ravel())


def test_a_file_that_lost_its_end_names_dataset_and_train(made):
    """As when it is overwritten while it is read."""
    replace_dataset(made.path, f"{made.data}/gain")
    with h5py.File(made.path) as f:
        place = f[f"{made.data}/gain"].id.get_offset()
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        os.truncate(made.path, place + 3 * 4 * 2048 + 5)
        for read in (lambda: _read(raw, 8), lambda: raw.read_pixels(0, 2048)):
            with pytest.raises(BadInput, match="ends before its data") as error:
                read()
            assert (error.value.dataset, error.value.train) == (f"{made.data}/gain", FIRST_TRAIN + 3)


def test_padding_is_not_read(made):
    for name in ("adc", "gain", "memoryCell", "trainId"):
        with h5py.File(made.path) as f:
            data = f[f"{made.data}/{name}"][()]
        replace_dataset(made.path, f"{made.data}/{name}", data=np.concatenate([data, data[:3] + 1]))
    padded = np.append(FIRST_TRAIN + np.arange(6), [0, 0]).astype("u8")
    replace_dataset(made.path, "INDEX/trainId", data=padded)
    replace_dataset(made.path, f"{made.index}/count", data=np.array([1] * 6 + [9, 9], "u8"))
    replace_dataset(made.path, f"{made.index}/first", data=np.arange(8, dtype="u8"))
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        assert (raw.n_trains, raw.n_entries) == (6, 6)
        assert raw.ids("frameNumber").shape == (6, 4)
        _assert_reads(raw, made)


def test_trains_without_data_and_gaps_between_trains(make):
    made = make(counts=[1, 0, 1, 1, 0])
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        assert (raw.n_trains, raw.n_entries) == (5, 3)
        np.testing.assert_array_equal(raw.trains_of(0, 3), FIRST_TRAIN + np.array([0, 2, 3]))
        _assert_reads(raw, made)
    # The index now leaves out the entry in the middle, and says 0 for trains without data.
    replace_dataset(made.path, f"{made.index}/first", data=np.array([0, 0, 2, 0, 0], "u8"))
    replace_dataset(made.path, f"{made.index}/count", data=np.array([1, 0, 1, 0, 0], "u8"))
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        assert raw.n_entries == 2
        _assert_reads(raw, made, entries=[0, 2])
        np.testing.assert_array_equal(raw.ids("memoryCell"), made.cells[[0, 2]])


def test_a_detector_with_one_frame_per_entry(made):
    """Frames on axis 0, IDs (N, 1), as many frames in a train as there happen to be."""
    frames = replace(SMALL, frames_in_train=False, planes=(1,))  # an axis that holds nothing, as in raw LPD
    adc, gain = made.adc.reshape(24, 32, 64), made.gain.reshape(24, 32, 64)
    replace_dataset(made.path, f"{made.data}/adc", data=adc[:, None])
    replace_dataset(made.path, f"{made.data}/gain", data=gain[:, None])
    replace_dataset(made.path, f"{made.data}/trainId", data=np.zeros(24, "u8"))
    for name in SMALL.frame_keys:
        with h5py.File(made.path) as f:
            values = f[f"{made.data}/{name}"][()].reshape(24, 1)
        replace_dataset(made.path, f"{made.data}/{name}", data=values)
    count = np.array([5, 0, 9, 3, 7, 0], "u8")
    replace_dataset(made.path, f"{made.index}/count", data=count)
    replace_dataset(made.path, f"{made.index}/first", data=np.cumsum(count) - count)
    with open_raw(made.path, frames, KARABO_ID) as raw:
        assert (raw.n_entries, raw.n_frames, raw.frames_per_entry, raw.frames_per_train) == (24, 24, 1, 9)
        assert raw.ids("memoryCell").shape == (24,)
        _assert_reads(raw, made, frames=7)


def test_two_sets_of_buffers_take_turns(made):
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        places = [block.images["adc"].__array_interface__["data"][0] for block in raw.blocks(4)]
    assert len(places) == 6
    assert len(set(places)) == 2
    assert all(a != b for a, b in pairwise(places))


def test_stopping_early_leaves_no_thread_behind(made):
    before = set(threading.enumerate())
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        blocks = raw.blocks(4)
        next(blocks)
        blocks.close()
    assert set(threading.enumerate()) <= before


def test_memory_does_not_depend_on_the_length_of_the_file(tmp_path):
    def peak(trains):
        path = make_file(tmp_path, trains=trains, sequence=trains).path
        with open_raw(path, SMALL, KARABO_ID) as raw:
            tracemalloc.start()
            frames = sum(block.frames for block in raw.blocks(16))
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert frames == trains * 4
        return most

    short, long = peak(20), peak(400)  # 0.5 MB and 9.8 MB of pixels
    two_blocks = 2 * 16 * 32 * 64 * 3
    assert short > two_blocks  # the buffers are in the count
    # Less than a block more: small objects that h5py leaves to Python's garbage collector.
    assert long < short + two_blocks / 2


@pytest.mark.parametrize("layout", ["contiguous gap", "gzip"])
def test_damage_inside_the_data_names_dataset_and_train(made, layout):
    if layout == "gzip":
        replace_dataset(made.path, f"{made.data}/gain", chunks=(1, 1, 32, 64), compression="gzip")
        with h5py.File(made.path) as f:
            chunk = f[f"{made.data}/gain"].id.get_chunk_info_by_coord((4, 2, 0, 0))
        with open(made.path, "r+b") as f:
            f.seek(chunk.byte_offset)
            f.write(b"\xff" * chunk.size)
    else:
        with h5py.File(made.path, "r+") as f:
            del f[f"{made.data}/gain"]
            outside = [("/no/such/file", 0, made.gain.nbytes)]
            f.create_dataset(f"{made.data}/gain", made.gain.shape, "u1", external=outside)
    with open_raw(made.path, SMALL, KARABO_ID) as raw, pytest.raises(BadInput) as error:
        _read(raw, 8)
    assert error.value.file == str(made.path)
    assert error.value.dataset == f"{made.data}/gain"
    assert error.value.train == FIRST_TRAIN + (4 if layout == "gzip" else 0)
