import re

import analogue_twins as twins
import numpy as np
import pytest
from flat_fields import signals
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types

from calibook.errors import BadParameter
from calibook.kernels import dark_window
from calibook.kernels.dark_window import dark_window_shift

NOISE = 8.0  # ADU, high gain
PHOTON = 65.0  # ADU, 9.3 keV
ASIC = (64, 64)


def frames(n=1, shape=(128, 128), seed=0, mean_photons=0.0):
    r = np.random.default_rng(seed)
    data = r.normal(0, NOISE, (n, *shape)) + PHOTON * r.poisson(mean_photons, (n, *shape))
    return data.astype("f4"), np.zeros(data.shape, "u1"), np.zeros(data.shape, "u4")


def blown_up(shift):
    return shift.repeat(64, axis=1).repeat(64, axis=2)


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(-30.0, 30.0), (-50.0, 30.0), (-1.003, 2.0), (-1000.0, 1000.0)]),
    st.sampled_from([0.0, 0.15, 0.66, 1.0]),
    st.integers(0, 5),
)
def test_twin_bit_for_bit(seed, dark_range, fraction, iterations):
    r = np.random.default_rng(seed)
    data, gain, mask = frames(r.integers(0, 3), (16, 24), seed, 0.3)
    data += r.choice([0.0, 15, -30, 0.001])
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e30, 32768, -32768, 30, -30, 2e-3], "f4")
    data = np.where(r.random(data.shape) < 0.1, r.choice(odd, data.shape), data.astype("f4"))
    gain[:] = r.choice(np.array([0, 0, 0, 0, 1, 2], "u1"), data.shape)
    mask[:] = r.choice(np.array([0, 0, 0, 1, 4], "u4"), data.shape)
    options = [(8, 8), dark_range, fraction, iterations, 1]
    expected, expected_shift = twins.dark_window_shift(data, gain, mask, *options)
    shift = dark_window_shift(data, gain, mask, *options)
    np.testing.assert_array_equal(data.view("u4"), expected.view("u4"))
    np.testing.assert_array_equal(shift, expected_shift)


@pytest.mark.parametrize("planted", [-30.0, -20.0, -3.0, 10.0, 20.0, 30.0])
def test_a_shift_of_a_dark_chip_is_found(planted):
    data, gain, mask = frames()
    data += np.float32(planted)
    found = dark_window_shift(data, gain, mask, ASIC)
    # 5 standard errors of a mean of 4096 values; 1/512 for the steps
    assert np.abs(found - planted).max() < 5 * NOISE / 64 + 1 / 512
    assert np.abs(data.mean(axis=(1, 2))).max() < 5 * NOISE / 128


@pytest.mark.parametrize("mean_photons", [0.0, 0.1, 0.4, 1.0])
def test_up_to_a_photon_per_pixel_95_percent_of_the_variance_go(mean_photons):
    data, gain, mask = frames(8, seed=3, mean_photons=mean_photons)
    planted = np.random.default_rng(1).normal(0, 8, (8, 2, 2)).astype("f4")
    data += blown_up(planted)
    found = dark_window_shift(data, gain, mask, ASIC)
    assert np.var(found - planted) < 0.05 * np.var(planted)


@pytest.mark.parametrize(("mean_photons", "pull"), [(0.1, 0.46), (0.45, 2.1), (1.0, 4.7)])
def test_shared_charge_pulls_all_shifts_up_alike(mean_photons, pull):
    """What the documentation says of it: variance goes, a mean error in proportion to the light stays."""
    r = np.random.default_rng(0)
    data = signals(r, 20, 4096, mean_photons, PHOTON, NOISE, cloud=0.05).reshape(20, 64, 64)
    planted = r.normal(0, 8, 20).astype("f4")
    data += planted[:, None, None]
    wrong = (
        dark_window_shift(data, np.zeros(data.shape, "u1"), np.zeros(data.shape, "u4"), ASIC)[:, 0, 0]
        - planted
    )
    assert np.var(wrong) < 0.05 * np.var(planted)
    assert wrong.mean() == pytest.approx(pull, abs=0.3)


def test_a_bright_chip_is_left_alone():
    """At 3 photons per pixel 5 % of the pixels are empty: less than the fraction asked for."""
    data, gain, mask = frames(2, mean_photons=3)
    before = data.copy()
    assert not dark_window_shift(data, gain, mask, ASIC).any()
    np.testing.assert_array_equal(data, before)


def test_a_second_time_changes_next_to_nothing():
    data, gain, mask = frames(2)
    data += 20
    dark_window_shift(data, gain, mask, ASIC)
    assert np.abs(dark_window_shift(data, gain, mask, ASIC)).max() < 0.1


def test_only_good_pixels_of_high_gain_take_part():
    data, gain, mask = frames()
    data += 10
    gain[:, :, :10], mask[:, :, 10:20] = 1, 1
    data[:, :, :20] = -25
    found = dark_window_shift(data, gain, mask, ASIC)
    assert (data[:, :, :20] == -25).all() and np.abs(found - 10).max() < 1


def test_nan_does_not_poison_a_chip():
    data, gain, mask = frames()
    data += 10
    data[:, ::2] = np.nan
    assert np.abs(dark_window_shift(data, gain, mask, ASIC) - 10).max() < 1


def test_the_fraction_counts_all_pixels_of_the_chip():
    data, gain, mask = frames(1, (64, 64))
    data[:], mask[:] = 5, 1
    mask.reshape(-1)[:2048] = 0
    assert dark_window_shift(data.copy(), gain, mask, ASIC, fraction=0.5).item() == 5
    assert dark_window_shift(data, gain, mask, ASIC, fraction=0.501).item() == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"block": (60, 64)}, "60 x 64 pixels: needs some that tile"),
        ({"block": (128, 128)}, "at most 8192"),
        ({"dark_range": (30, -30)}, "dark range is 30 to -30"),
        ({"dark_range": (-30, 2000)}, "within \\+-1000"),
        ({"fraction": 1.5}, "fraction of dark pixels is 1.5"),
    ],
)
def test_impossible_options(options, complaint):
    with pytest.raises(BadParameter, match=complaint):
        dark_window_shift(*frames(), **{"block": ASIC, **options})


def test_zero_frames():
    assert dark_window_shift(*frames(0), ASIC).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("line", "instruction"), [("_sum_of_window", "p?addd"), ("_to_steps", "mulps"), ("_subtract", "subps")]
)
def test_the_inner_loops_do_several_pixels_per_instruction(line, instruction):
    """Compiled anew: code that comes from the cache has no assembly to look at."""
    f4, u4, u1, i4 = (types.Array(t, 1, "C") for t in (types.float32, types.uint32, types.uint8, types.int32))
    signatures = {
        "_sum_of_window": (i4, types.int32, types.int32, types.int32),
        "_to_steps": (f4, u1, u4, types.uint32, i4),
        "_subtract": (f4, u1, u4, types.uint32, types.float32),
    }
    compiled = njit(nogil=True)(getattr(dark_window, line).py_func)
    compiled.compile(signatures[line])
    (assembly,) = compiled.inspect_asm().values()
    # x86 names; arm: the same with four lanes
    assert re.search(rf"\bv?{instruction}\b|\.4s", assembly)
