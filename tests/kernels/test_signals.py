import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types
from twins import rubbish

from calibook.kernels import signals
from calibook.kernels.cells import TILE
from calibook.kernels.gain_switching import correct_words
from calibook.kernels.packing import PackedConstants
from calibook.kernels.signals import correct_signals, without_bad_pixels

ODD = np.array([0, -0.0, np.nan, np.inf, -np.inf, 1e38, 1e-40], "f4")


def samples(seed, frames, pixels, cells):
    """Frames of all codes, cells that don't exist, constants that are no numbers."""
    r = np.random.default_rng(seed)
    shape = (cells, 3, pixels)
    offset, scale = (
        np.where(r.random(shape) < 0.1, r.choice(ODD, shape), r.normal(2000, 900, shape)).astype("f4")
        for _ in range(2)
    )
    word = r.choice(np.array([0, 0, 0, 1, 6, 0x80000000], "u4"), (1, 3, pixels))
    words = r.integers(0, 0x10000, (frames, pixels)).astype("u2")
    return words, r.integers(-1, cells + 1, frames), PackedConstants(offset, scale, word, cells)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 5]),
    st.sampled_from([1, 15, 1000, TILE, 2 * TILE + 17]),
    st.sampled_from([1, 3]),
    st.sampled_from([0, 1, 0xFFFFFFFF]),
)
def test_signals_are_those_of_the_kernel_with_masks_bit_for_bit(seed, frames, pixels, cells, excluded):
    words, cell, packed = samples(seed, frames, pixels, cells)
    data, expected = (np.full(words.shape, 123, "f4") for _ in range(2))
    # A wrong code has no constants to fold a mask into, so its value is NaN here.
    correct_signals(words, cell, without_bad_pixels(packed, excluded), data, np.nan)
    gain, mask = np.empty(words.shape, "u1"), np.empty(words.shape, "u4")
    correct_words(words, cell, packed, expected, gain, mask, excluded, np.nan)
    # The kernel also hides what gets a bit for itself, out of range or not finite; here it stays.
    added = np.isin(words & 0x3FFF, [0, 0x3FFF]) | np.isinf(data)
    same = ~added if excluded == 0xFFFFFFFF else np.ones(words.shape, bool)
    np.testing.assert_array_equal(data.view("u4")[same], expected.view("u4")[same])


def test_bad_pixels_become_zero_or_nan():
    packed = PackedConstants(
        np.full((1, 3, 2), 100, "f4"), np.ones((1, 3, 2), "f4"), np.array([[[0, 4]] * 3], "u4"), 1
    )
    words, data = np.full((1, 2), 300, "u2"), np.empty((1, 2), "f4")
    for value, excluded, expected in ((0, 4, 0.0), (np.nan, 4, np.nan), (0, 1, 200.0)):
        correct_signals(words, np.zeros(1, int), without_bad_pixels(packed, excluded, value), data)
        np.testing.assert_array_equal(data, np.array([[200, expected]], "f4"))
        assert not np.signbit(data).any()
    with pytest.raises(ValueError, match="NaN or 0, not 7"):
        without_bad_pixels(packed, value=7)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"words": np.zeros((2, 8), "i4")}, "words has dtype int32"),
        ({"data": np.zeros((2, 9), "f4")}, r"data has shape \(2, 9\), needs \(2, 8\)"),
        ({"cell": np.zeros(3, int)}, r"cell has shape \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, complaint):
    ones = np.ones((1, 3, 8), "f4")
    arguments = {"words": np.zeros((2, 8), "u2"), "cell": np.zeros(2, int), "data": np.zeros((2, 8), "f4")}
    with pytest.raises(ValueError, match=complaint):
        correct_signals(packed=PackedConstants(ones, ones, ones.astype("u4"), 1), **{**arguments, **change})


@pytest.mark.parametrize(("share_nan", "frames"), [(0, 1), (0.05, 4), (0, 5)])
@pytest.mark.parametrize(("more", "past"), [(304, 0), (300, 0), (304, 16)])
def test_constants_without_surprises_take_a_shorter_way_to_the_same_bits(share_nan, frames, more, past):
    """If lines of results are lines of memory: all of them, none, all but parts of lines at both ends."""
    r = np.random.default_rng(frames)
    pixels = 2 * TILE + more
    words, cell, packed = samples(frames, frames, pixels, 1)
    offset, scale = r.normal(3000, 100, (1, 3, pixels)), r.normal(0.02, 0.001, (1, 3, pixels))
    for values in (offset, scale):
        values[r.random(values.shape) < share_nan] = np.nan
    packed = PackedConstants(offset.astype("f4"), scale.astype("f4"), packed.mask, 1)
    cell[:] = 0
    data, expected = rubbish(words.shape, "f4", past), np.full(words.shape, 123, "f4")
    correct_signals(words, cell, packed, data, -7.5)
    gain, mask = np.empty(words.shape, "u1"), np.empty(words.shape, "u4")
    correct_words(words, cell, packed, expected, gain, mask, 0, -7.5)
    np.testing.assert_array_equal(data.view("u4"), expected.view("u4"))


@pytest.mark.parametrize("line", ["_loop", "_lanes"])
def test_the_inner_loops_do_several_pixels_per_instruction(line):
    """Compiled anew: code that comes from the cache has no assembly to look at."""
    u2, rows, row = (
        types.Array(t, d, "C") for t, d in ((types.uint16, 2), (types.float32, 2), (types.float32, 1))
    )
    signatures = {
        "_loop": (u2, *(types.int64,) * 5, rows, types.float32, row),
        "_lanes": (u2, *(types.int64,) * 4, row, types.float32, rows),
    }
    compiled = njit(nogil=True)(getattr(signals, line).py_func)
    compiled.compile(signatures[line])
    (assembly,) = compiled.inspect_asm().values()
    # x86: [v]mulps, arm: fmul with four lanes
    assert len(re.findall(r"\bv?mulps\b|\bfmul\.4s|fmul\s+v\d+\.4s", assembly)) >= 2
    assert len(re.findall(r"\bv?insertps\b", assembly)) == 0
