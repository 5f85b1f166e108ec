import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.errors import BadParameter
from calibook.kernels.common_mode import BANKS, COLUMNS, ROWS, common_mode, median

NOISE = 12.0  # ADU, highest gain
SHAPE = (256, 256)


def dark(frames=2, seed=0, shape=SHAPE):
    data = np.random.default_rng(seed).normal(0, NOISE, (frames, *shape)).astype("f4")
    return data, np.zeros(data.shape, "u1"), np.zeros(data.shape, "u4")


def blown_up(shift, block):
    return shift.repeat(block[0], axis=1).repeat(block[1], axis=2)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([None, 5.0, 40.0]), st.sampled_from([0, 10, 40]))
def test_twin_bit_for_bit(seed, dark_range, min_pixels):
    r = np.random.default_rng(seed)
    data, gain, mask = dark(r.integers(0, 3), seed, (16, 24))
    strange = r.choice(np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e30], "f4"), data.shape)
    data = np.where(r.random(data.shape) < 0.1, strange, data)
    gain[:] = r.choice(np.array([0, 0, 0, 1, 2, 3], "u1"), data.shape)
    mask[:] = r.choice(np.array([0, 0, 0, 1, 4], "u4"), data.shape)
    options = [((1, 8), (8, 1), (8, 8)), dark_range, min_pixels, 3.0, 1]
    expected, expected_shifts = twins.common_mode(data, gain, mask, *options)
    shifts = common_mode(data, gain, mask, *options)
    np.testing.assert_array_equal(data.view("u4"), expected.view("u4"))
    for a, b in zip(shifts, expected_shifts, strict=True):
        np.testing.assert_array_equal(a, b)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=70))
def test_median_is_numpys(values):
    values = np.array(values, "f4")
    with np.errstate(over="ignore"):
        expected = np.median(values)
    if np.isfinite(expected):
        assert median(values.copy()) == expected


@pytest.mark.parametrize("block", [ROWS, COLUMNS, BANKS])
def test_planted_shifts_are_found(block):
    data, gain, mask = dark()
    planted = np.random.default_rng(1).normal(0, 20, (2, 256 // block[0], 256 // block[1])).astype("f4")
    data += blown_up(planted, block)
    (found,) = common_mode(data, gain, mask, [block])
    # Standard error of a median of n Gaussian values: 1.2533 sigma / sqrt(n).
    error = 1.2533 * NOISE / np.sqrt(block[0] * block[1])
    assert np.abs(found - planted).max() < 5 * error
    assert np.std(found - planted) < 1.3 * error


def test_rows_come_before_columns():
    """A shift of whole banks shows in rows and in columns; the first step takes all of it."""
    data, gain, mask = (a[:, :, :] for a in dark(1))
    data[:] = np.arange(4).repeat(64) * 10
    rows, columns = common_mode(data, gain, mask)
    assert rows.shape == (1, 256, 4) and columns.shape == (1, 1, 256)
    assert rows[0, 7].tolist() == [0, 10, 20, 30] and not columns.any() and not data.any()


def test_both_steps_together_leave_the_noise():
    data, gain, mask = dark()
    r = np.random.default_rng(1)
    data += blown_up(r.normal(0, 20, (2, 256, 4)), ROWS) + blown_up(r.normal(0, 20, (2, 1, 256)), COLUMNS)
    common_mode(data, gain, mask)
    # Columns were shifted when rows were estimated, so some of their scatter stays in the rows.
    assert data.std() == pytest.approx(NOISE, rel=0.15)


def test_a_second_time_changes_next_to_nothing():
    data, gain, mask = dark()
    data += blown_up(np.random.default_rng(1).normal(0, 20, (2, 256, 4)), ROWS)
    common_mode(data, gain, mask, [ROWS])
    once = data.copy()
    common_mode(data, gain, mask, [ROWS])
    # Only float32 rounding is left: values below 256 ADU have a step of 1.5e-5.
    assert np.abs(data - once).max() < 5e-5
    common_mode(data, gain, mask)
    once = data.copy()
    common_mode(data, gain, mask)
    # With both steps columns disturb rows again, by less than a tenth of the noise.
    assert np.std(data - once) < 0.1 * NOISE


def test_photons_do_not_pull_the_shift_with_a_dark_range():
    """60 % of the pixels hold a photon of 385 ADU (9.3 keV): the plain median is a photon's."""
    data, gain, mask = dark(1)
    lit = np.random.default_rng(2).random(data.shape) < 0.6
    data[lit] += 385
    data += 15
    (gated,) = common_mode(data.copy(), gain, mask, [BANKS], dark_range=15 + 5 * NOISE, max_shift=1000)
    (plain,) = common_mode(data.copy(), gain, mask, [BANKS], max_shift=1000)
    assert np.abs(gated - 15).max() < 1 and plain.min() > 300
    # max_shift alone then at least does no harm.
    (limited,) = common_mode(data, gain, mask, [BANKS])
    assert not limited.any()


def test_few_photons_do_not_matter():
    data, gain, mask = dark(1)
    data[np.random.default_rng(2).random(data.shape) < 0.02] += 385
    (found,) = common_mode(data, gain, mask, [BANKS])
    # 2 % of values moved up shift the median by about 0.01 / 0.4 sigma = 0.3 ADU
    assert np.abs(found).max() < 1


def test_only_good_pixels_of_the_highest_gain_take_part():
    data, gain, mask = dark(1)
    data += 30
    gain[:, :, :10], mask[:, :, 10:20] = 1, 1
    data[:, :, :20] = 5000
    common_mode(data, gain, mask, [ROWS])
    assert (data[:, :, :20] == 5000).all() and np.abs(data[:, :, 20:].mean()) < 1


def test_informational_bits_can_stay_in():
    data, gain, mask = dark(1)
    mask[:] = 0x400000
    data += 30
    assert not common_mode(data, gain, mask, [ROWS])[0].any()
    assert common_mode(data, gain, mask, [ROWS], excluded=0x3FFFFF)[0].all()


@pytest.mark.parametrize(("pixels", "expected"), [(10, 0), (11, 7)])
def test_a_block_needs_more_than_ten_pixels(pixels, expected):
    data, gain, mask = dark(1)
    data[:], mask[:, :, pixels:] = 7, 1
    assert common_mode(data, gain, mask, [ROWS])[0][0, 0, 0] == expected


@pytest.mark.parametrize(("level", "expected"), [(199, 199), (200, 0), (-200, 0)])
def test_a_shift_too_large_is_none(level, expected):
    data, gain, mask = dark(1)
    data[:] = level
    assert (common_mode(data, gain, mask, [ROWS])[0] == expected).all()


def test_zero_frames():
    assert common_mode(*dark(0))[0].shape == (0, 256, 4)


@pytest.mark.parametrize("block", [(1, 60), (0, 64), (512, 1)])
def test_blocks_must_tile_the_frame(block):
    with pytest.raises(BadParameter, match="needs some that tile"):
        common_mode(*dark(1), [block])


def test_dark_range_must_be_positive():
    with pytest.raises(BadParameter, match="dark_range"):
        common_mode(*dark(1), dark_range=0)
