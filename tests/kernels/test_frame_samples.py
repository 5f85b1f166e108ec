"""Chips and raw planes of some frames, against NumPy."""

import numpy as np
import pytest
import twins

from calibook.errors import BadParameter
from calibook.kernels.chip_steps import ROWS
from calibook.kernels.frame_samples import PLANE_BIN_WIDTH, PLANE_BINS, add_planes, chip_sums

BLOCK, SHAPE = (8, 16), (24, 32)


def corrected(seed=0, frames=3, shape=SHAPE):
    """Samples of all kinds, with any bits, in arrays that begin anywhere."""
    r = np.random.default_rng(seed)
    shape = (frames, *shape)
    data, gain, mask = (twins.rubbish(shape, dtype, 4 * (seed % 5)) for dtype in ("f4", "u1", "u4"))
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0], "f4")
    data[:] = np.where(r.random(shape) < 0.1, r.choice(odd, shape), r.normal(5, 2, shape))
    gain[:] = r.integers(0, 3, shape)
    mask[:] = np.where(r.random(shape) < 0.3, np.uint32(1) << r.integers(0, 32, shape, dtype="u4"), 0)
    return data, gain, mask


# Rows and columns that packed steps do, and some that are left.
@pytest.mark.parametrize(
    ("shape", "block"),
    [(SHAPE, BLOCK), ((16, 16), (ROWS, 16)), ((21, 30), (7, 10)), ((34, 50), (17, 25)), ((9, 3), (9, 3))],
)
@pytest.mark.parametrize("excluded", [0, 1, 0xFFFFFFFF])
def test_chips(shape, block, excluded):
    data, gain, mask = corrected(excluded, shape=shape)
    sums, counts, stages = chip_sums(data, gain, mask, block, excluded)
    good = np.isfinite(data) & ((mask & np.uint32(excluded)) == 0)
    chips = (-1, shape[0] // block[0], block[0], shape[1] // block[1], block[1])
    assert np.array_equal(counts, good.reshape(chips).sum(axis=(2, 4)))
    # One after the other: rows of a column, then columns.
    columns = np.where(good, data, 0).astype("f8").reshape(chips).cumsum(axis=2)[:, :, -1]
    assert np.array_equal(sums, columns.cumsum(axis=-1)[..., -1])
    assert np.array_equal(stages, [np.bincount(frame.ravel(), minlength=3) for frame in gain])


@pytest.mark.parametrize("frames", [[], [1], [2, 0]])
def test_some_frames(frames):
    arrays = corrected(2)
    every, some = chip_sums(*arrays, BLOCK, 1), chip_sums(*arrays, BLOCK, 1, np.array(frames, int))
    for whole, part in zip(every, some, strict=True):
        assert np.array_equal(whole[frames], part)
    raw = np.random.default_rng(1).integers(0, 1 << 14, (3, 2, 500), dtype="u2")
    expected, counts = (np.zeros((PLANE_BINS, PLANE_BINS), "i8") for _ in range(2))
    add_planes(np.ascontiguousarray(raw[frames]), expected)
    add_planes(raw, counts, np.array(frames, int))
    assert np.array_equal(counts, expected)


@pytest.mark.parametrize("frame", [-1, 3])
def test_frames_that_are_not_there(frame):
    with pytest.raises(ValueError, match="there are 3"):
        chip_sums(*corrected(), BLOCK, 0, np.array([0, frame]))


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
