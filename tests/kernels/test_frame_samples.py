"""Chips and raw planes of some frames, against NumPy."""

import numpy as np
import pytest

from calibook.errors import BadParameter
from calibook.kernels.frame_samples import PLANE_BIN_WIDTH, PLANE_BINS, add_planes, chip_sums

BLOCK, SHAPE = (8, 16), (24, 32)


def corrected(seed=0, frames=3):
    rng = np.random.default_rng(seed)
    shape = (frames, *SHAPE)
    odd = np.array([np.nan, np.inf, -np.inf], "f4")
    data = np.where(rng.random(shape) < 0.1, rng.choice(odd, shape), rng.normal(5, 2, shape)).astype("f4")
    return data, rng.integers(0, 3, shape, dtype="u1"), rng.choice(np.array([0, 0, 1, 4], "u4"), shape)


@pytest.mark.parametrize("excluded", [0, 1, 0xFFFFFFFF])
def test_chips(excluded):
    data, gain, mask = corrected()
    sums, counts, stages = chip_sums(data, gain, mask, BLOCK, excluded)
    good = np.isfinite(data) & ((mask & np.uint32(excluded)) == 0)
    chips = (-1, SHAPE[0] // BLOCK[0], BLOCK[0], SHAPE[1] // BLOCK[1], BLOCK[1])
    assert np.array_equal(counts, good.reshape(chips).sum(axis=(2, 4)))
    expected = np.where(good, data, 0).astype("f8").reshape(chips).sum(axis=(2, 4))
    # Sums of 128 numbers of f8, in another order.
    np.testing.assert_allclose(sums, expected, rtol=1e-13)
    assert np.array_equal(stages, [np.bincount(frame.ravel(), minlength=3) for frame in gain])


def test_a_frame_is_the_same_among_others():
    arrays = corrected(1)
    every = chip_sums(*arrays, BLOCK)
    alone = chip_sums(*(array[1:2] for array in arrays), BLOCK)
    for whole, one in zip(every, alone, strict=True):
        assert np.array_equal(whole[1:2], one)


def test_chips_that_do_not_tile_a_frame():
    with pytest.raises(BadParameter, match="tile a frame"):
        chip_sums(*corrected(), (7, 16))


def test_planes():
    raw = np.random.default_rng(2).integers(0, 1 << 16, (3, 2, 500), dtype="u2")
    raw[:, :, ::2] >>= 2  # what 14 bits can hold, in a half of them
    counts = np.ones((PLANE_BINS, PLANE_BINS), "i8")
    add_planes(raw, counts)
    expected = np.ones_like(counts)
    signal, gain = (np.minimum(raw[:, plane] // PLANE_BIN_WIDTH, PLANE_BINS - 1) for plane in (0, 1))
    np.add.at(expected, (gain, signal), 1)
    assert np.array_equal(counts, expected)
