import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.errors import BadParameter
from calibook.kernels.cells import TILE
from calibook.kernels.pixel_checks import Extremes, melt_snow, noisy_blocks, replace_outside

BIT = 0x10000


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 9]), st.sampled_from([1, TILE + 5]), st.integers(0, 9))
def test_constant_pixels_are_those_without_spread(seed, frames, pixels, cut):
    r = np.random.default_rng(seed)
    raw = r.integers(0, 2, (frames, 2, pixels), dtype="u2") * r.integers(0, 2, pixels).astype(
        "u2"
    ) + np.uint16(7)
    cell = r.integers(-1, 4, frames)
    parts = [Extremes.none(3, pixels) for _ in range(2)]
    for part, chosen in zip(parts, (slice(cut), slice(cut, None)), strict=True):
        part.add(np.ascontiguousarray(raw[chosen]), cell[chosen])
    constant = parts[1].merge(parts[0]).constant()
    for c in range(3):
        values = raw[cell == c, 0]
        expected = values.std(axis=0) == 0 if len(values) else np.zeros(pixels, bool)
        np.testing.assert_array_equal(constant[c], expected)


def test_blocks_with_too_many_noisy_pixels():
    words = np.zeros((2, 3, 128, 32), "u4")
    words[0, 1, :64, :16].reshape(-1)[:256] = 2  # a quarter: still good
    words[1, 2, 64:, 16:].reshape(64, 16)[:17] = 1
    words[1, 0, :64, :16] = 8  # another bit
    noisy = noisy_blocks(words, (64, 16), 3)
    assert noisy[1, 2, 64:, 16:].all() and noisy.sum() == 64 * 16
    with pytest.raises(BadParameter, match="needs some that tile"):
        noisy_blocks(words, (60, 16), 3)
    with pytest.raises(BadParameter, match="fraction"):
        noisy_blocks(words, (64, 16), 3, fraction=2)


def snow_twin(data, gain, mask, level, interpolate):
    data, gain, mask = data.copy(), gain.copy(), mask.copy()
    snow = (gain > 0) & ~(data >= np.float32(level))
    mask[snow] |= np.uint32(BIT)
    source, filled = data.copy(), (gain == 0) & (mask == 0)
    for n, i, j in np.argwhere(snow) if interpolate else ():
        part = n, slice(max(i - 1, 0), i + 2), slice(max(j - 1, 0), j + 2)
        values = source[part][filled[part]].astype("f8")
        data[n, i, j] = np.cumsum(values)[-1] / len(values) if len(values) else np.nan
    if interpolate:
        gain[snow] = 0
    return data, gain, mask, snow.sum()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.booleans(), st.sampled_from([0.01, 0.6]))
def test_melting_is_the_twin_bit_for_bit(seed, interpolate, share):
    r = np.random.default_rng(seed)
    shape = (r.integers(0, 4), 6, 9)
    data = r.normal(100, 300, shape).astype("f4")
    data[r.random(shape) < 0.1] = np.nan
    gain = np.where(r.random(shape) < share, r.integers(1, 3, shape), 0).astype("u1")
    mask = r.choice(np.array([0, 0, 0, 0, 4, 0x400000], "u4"), shape)
    *expected, count = snow_twin(data, gain, mask, 200.0, interpolate)
    assert melt_snow(data, gain, mask, 200.0, BIT, interpolate) == count
    for a, b in zip((data, gain, mask), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_true_medium_signals_do_not_melt():
    data, gain, mask = np.full((1, 3, 3), 5.0, "f4"), np.zeros((1, 3, 3), "u1"), np.zeros((1, 3, 3), "u4")
    data[0, 1, 1], gain[0, 1, 1] = 20_000, 1
    assert melt_snow(data, gain, mask, 2000, BIT) == 0 and data[0, 1, 1] == 20_000
    data[0, 1, 1] = -60_000
    assert melt_snow(data, gain, mask, 2000, BIT) == 1
    assert (data == 5).all() and not gain.any() and mask[0, 1, 1] == BIT


def test_values_outside_a_range_are_replaced():
    data = np.array([-1e8, -5, 0, 5, 1e8, np.nan, np.inf], "f4")
    replace_outside(data, -1e7, 1e7)
    np.testing.assert_array_equal(data, np.array([0, -5, 0, 5, 0, np.nan, 0], "f4"))
    replace_outside(data, nan=True, value=-1)
    np.testing.assert_array_equal(data, np.array([0, -5, 0, 5, 0, -1, 0], "f4"))
    with pytest.raises(BadParameter, match="low below high"):
        replace_outside(data, 1, 1)
