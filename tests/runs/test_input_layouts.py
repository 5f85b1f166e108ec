"""The way past HDF5 is chosen by what a file is, and all ways give the same corrected file."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from correcting import correct
from raw_runs import replace_dataset

from calibook.runs.places import frame_places


def _refiled(made, **layout) -> None:
    for key in ("adc", "gain"):
        with h5py.File(made.path) as f:
            data = f[f"{made.data}/{key}"][()]
        replace_dataset(made.path, f"{made.data}/{key}", data=data, **layout)


def _virtual(made) -> None:
    for key in ("adc", "gain"):
        path = f"{made.data}/{key}"
        with h5py.File(made.path, "r+") as f:
            f.move(path, f"elsewhere/{key}")
            source = f[f"elsewhere/{key}"]
            layout = h5py.VirtualLayout(source.shape, source.dtype)
            layout[...] = h5py.VirtualSource(source)
            f.create_virtual_dataset(path, layout)


WAYS = {
    "contiguous": (lambda made: _refiled(made), True),
    "whole frames": (lambda made: _refiled(made, chunks=(1, 4, 32, 64)), True),
    "parts of frames": (lambda made: _refiled(made, chunks=(1, 4, 16, 64)), False),
    "filtered": (lambda made: _refiled(made, chunks=(1, 4, 32, 64), compression="gzip"), False),
    "virtual": (_virtual, False),
}


@pytest.mark.parametrize("threads", [1, 4])
def test_corrected_bytes_do_not_depend_on_how_the_raw_file_is_laid_out(make, tmp_path, threads):
    contents = set()
    for number, (name, (change, past_hdf5)) in enumerate(WAYS.items()):
        made = make()
        change(made)
        with h5py.File(made.path) as f:
            places = frame_places(f[f"{made.data}/adc"], 2)
        assert (places is not None) == past_hdf5, name
        target = tmp_path / f"{number}.h5"
        for frames in (4, 12, 1000):
            correct(made, target, frames=frames, threads=threads)
            contents.add(target.read_bytes())
    assert len(contents) == 1
    assert len(contents.pop()) > np.prod((6, 4, 32, 64)) * 4
