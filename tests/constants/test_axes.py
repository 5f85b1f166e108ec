"""The two orders of a constant's axes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from calibook.constants import as_stored, as_used
from calibook.errors import BadParameter

LENGTHS = {"fast_scan": 5, "slow_scan": 4, "cell": 3, "gain": 2}


def labelled(dims):
    """An array in any order of axes whose values tell their coordinates."""
    digits = {"fast_scan": 1, "slow_scan": 10, "cell": 100, "gain": 1000}
    grids = np.meshgrid(*(np.arange(LENGTHS[name]) * digits[name] for name in dims), indexing="ij")
    return np.add.reduce(grids).astype("f4")


@pytest.mark.parametrize("dims", list(itertools.permutations(LENGTHS)))
def test_every_order_gives_the_same_two(dims):
    stored, used = as_stored(labelled(dims), dims), as_used(labelled(dims), dims)
    assert stored.shape == (5, 4, 3, 2) and stored[4, 3, 2, 1] == 1234 and stored[1, 0, 0, 0] == 1
    assert used.shape == (3, 2, 4, 5) and used[2, 1, 3, 4] == 1234 and used[0, 0, 0, 1] == 1
    assert stored.flags.c_contiguous and used.flags.c_contiguous and used.dtype == np.float32
    assert np.array_equal(as_used(stored, ("fast_scan", "slow_scan", "cell", "gain")), used)


def test_missing_axes_get_length_one():
    gains = labelled(("gain", "slow_scan", "fast_scan"))
    assert as_stored(gains, ("gain", "slow_scan", "fast_scan")).shape == (5, 4, 1, 2)
    assert as_used(gains, ("gain", "slow_scan", "fast_scan"))[0, 1, 3, 4] == 1034
    assert as_used(gains[0], ("slow_scan", "fast_scan")).shape == (1, 1, 4, 5)
    slopes = as_stored(
        gains, ("quantity", "slow_scan", "fast_scan"), ("quantity", "cell", "fast_scan", "slow_scan")
    )
    assert slopes.shape == (2, 1, 5, 4)


@pytest.mark.parametrize(
    "dims, words",
    [
        (("slow_scan", "fast_scan"), "2 axes"),
        (("slow_scan", "slow_scan", "fast_scan"), "twice"),
        (("gian", "slow_scan", "fast_scan"), "'gian' is unknown"),
        ("gain", "list"),
    ],
)
def test_wrong_names_are_refused(dims, words):
    with pytest.raises(BadParameter, match=words):
        as_stored(np.zeros((2, 4, 5)), dims)


def test_kernels_need_both_pixel_axes():
    with pytest.raises(BadParameter, match="slow_scan"):
        as_used(np.zeros((2, 4)), ("gain", "fast_scan"))
