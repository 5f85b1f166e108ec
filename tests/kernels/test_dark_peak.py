"""Shifts of chips though neighbours share charge: planted ones are found, and no light is taken for one."""

import re

import numpy as np
import pytest
from dark_peak_twin import dark_peak_shift as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types

from calibook.errors import BadParameter
from calibook.kernels import dark_peak, dark_shift
from calibook.kernels.dark_peak import DarkPeak
from calibook.kernels.dark_shift import dark_peak_shift
from calibook.kernels.dark_window import dark_window_shift
from calibook.simulation.charge import collect
from calibook.simulation.silicon import lost_at_border

NOISE, ADU_PER_KEV, ENERGY = 8.0, 7.0, 9.3
ASIC = (64, 64)
LOST = lost_at_border(200.0, 10.0)


def frames(n, mean_photons=0.0, energy=ENERGY, seed=0, shape=(128, 128)):
    """(data, gain, mask) with noise and photons whose charge is shared."""
    r = np.random.default_rng(seed)
    expected = np.broadcast_to(np.float32(mean_photons), shape).astype("f4")
    photons, charge = np.zeros(shape, "u4"), np.zeros((n, *shape), "f4")
    for frame, state in enumerate(r.integers(0, 2**63, n).astype("u8")):
        if expected.any():
            collect(state, expected, 1.0, energy, energy, 0.0, LOST, photons, charge[frame])
    data = r.normal(0, NOISE, charge.shape) + ADU_PER_KEV * charge
    return data.astype("f4"), np.zeros(charge.shape, "u1"), np.zeros(charge.shape, "u4")


def planted(data, size=8.0, seed=1):
    """Shifts of all chips, which are put into the data: f4 (frame, 2, 2)."""
    shifts = np.random.default_rng(seed).normal(0, size, (len(data), 2, 2)).astype("f4")
    data += shifts.repeat(64, axis=1).repeat(64, axis=2)
    return shifts


odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e30, 8000, -8000, 7999.9, 16, -16, 12, 0.125], "f4")


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.3, 2.0, 30.0]),
    st.sampled_from([0.0, 15.3, -40.0, 300.0, -3000.0]),
    st.sampled_from([DarkPeak(), DarkPeak(8.0, 1e-9, 1000.0, np.inf), DarkPeak(30.0, 0.5), DarkPeak(1.0)]),
    st.sampled_from([(16, 12), (1, 24), (32, 2)]),
)
def test_twin_bit_for_bit(seed, mean_photons, shift, peak, block):
    r = np.random.default_rng(seed)
    data, gain, mask = frames(r.integers(0, 3), mean_photons, seed=seed, shape=(32, 24))
    data += np.float32(shift)
    data = np.where(r.random(data.shape) < r.choice([0, 0.02, 1]), r.choice(odd, data.shape), data)
    gain[:] = np.where(r.random(data.shape) < r.choice([0, 0.02, 0.5]), 2, 0)
    mask[:] = np.where(r.random(data.shape) < r.choice([0, 0.02, 0.5, 1]), r.choice([1, 4], data.shape), 0)
    expected, expected_shift = twin(data, gain, mask, block, peak, 1)
    found = dark_peak_shift(data, gain, mask, block, peak, 1)
    np.testing.assert_array_equal(found, expected_shift)
    np.testing.assert_array_equal(data.view("u4"), expected.view("u4"))


@pytest.mark.parametrize("shift", [-90.0, -40.0, -8.0, 3.0, 40.0, 90.0])
@pytest.mark.parametrize("mean_photons", [0.0, 0.5])
def test_a_shift_is_found_wherever_it_is(shift, mean_photons):
    arrays = frames(4, mean_photons)
    arrays[0][:] += np.float32(shift)
    found = dark_peak_shift(*arrays, ASIC)
    # 1.4 and 4.8 times the error of a mean of 4096 values, measured; five of them
    assert np.abs(found - shift).max() < 5 * NOISE / 64 * (4.8 if mean_photons else 1.4)


@pytest.mark.parametrize("mean_photons", [0.0, 0.1, 0.4, 1.0])
def test_up_to_a_photon_per_pixel_95_percent_of_the_variance_go(mean_photons):
    arrays = frames(40, mean_photons, seed=3)
    shifts = planted(arrays[0])
    found = dark_peak_shift(*arrays, ASIC)
    # Of the variance that is planted on average: 3.6 % is left at most, with a standard error of 0.4 %.
    assert np.var(found - shifts) < 0.05 * 8.0**2


@pytest.mark.parametrize(
    ("energy", "mean_photons", "limit"),
    [(9.3, 0.1, 4e-3), (9.3, 0.5, 2.5e-3), (9.3, 1.0, 3e-3), (12.0, 0.5, 2.5e-3), (6.0, 0.5, 12e-3)],
)
def test_shared_charge_is_not_taken_for_a_shift(energy, mean_photons, limit):
    """What remains is 1e-3 of the signal, 7e-3 at 6 keV; the limits add two standard errors
    of 80 frames. A mean over dark pixels takes 50 to 300e-3, which shows that there is a need."""
    arrays = frames(80, mean_photons, energy)
    shifts = planted(arrays[0])
    signal = mean_photons * energy * ADU_PER_KEV
    others = dark_window_shift(arrays[0].copy(), *arrays[1:], ASIC)
    found = dark_peak_shift(*arrays, ASIC)
    assert abs((found - shifts).mean()) < limit * signal
    assert (others - shifts).mean() > 0.04 * signal


def test_uneven_light_is_no_shift():
    """One quarter of the chip has 2 photons per pixel, the rest next to none."""
    light = np.full((128, 128), 0.02, "f4")
    light[:, 20:36] = light[:, 84:100] = 2
    arrays = frames(40, light)
    shifts = planted(arrays[0])
    wrong = dark_peak_shift(*arrays, ASIC) - shifts
    # 3e-3 of the mean signal and two standard errors, which are 0.3 / sqrt(160)
    assert abs(wrong.mean()) < 3e-3 * light.mean() * ENERGY * ADU_PER_KEV + 0.05


@pytest.mark.parametrize("mean_photons", [2.5, 4.0, 30.0])
def test_a_bright_chip_is_left_alone_and_no_photon_peak_is_taken_for_the_dark_one(mean_photons):
    arrays = frames(4, mean_photons)
    before = arrays[0].copy()
    assert not dark_peak_shift(*arrays, ASIC).any()
    np.testing.assert_array_equal(arrays[0], before)


def test_all_lit_all_masked_or_no_number_at_all():
    for spoil in ((600.0, 0, 0), (0.0, 1, 0), (0.0, 0, 1), (np.nan, 0, 0), (np.inf, 0, 0)):
        data, gain, mask = frames(1)
        data[:], gain[:], mask[:] = data + np.float32(spoil[0]), spoil[1], spoil[2]
        assert not dark_peak_shift(data, gain, mask, ASIC).any()


def test_only_good_pixels_of_high_gain_take_part():
    data, gain, mask = frames(1)
    data += 10
    gain[:, :, :10], mask[:, :, 10:20] = 1, 1
    data[:, :, :20] = -25
    data[:, ::16] = np.nan
    found = dark_peak_shift(data, gain, mask, ASIC)
    assert (data[:, 1, :20] == -25).all() and np.abs(found - 10).max() < 1.5


def test_a_second_time_changes_next_to_nothing():
    arrays = frames(4, 0.2)
    arrays[0][:] += 20
    dark_peak_shift(*arrays, ASIC)
    assert np.abs(dark_peak_shift(*arrays, ASIC)).max() < 0.5


def test_frames_are_on_their_own():
    """In whatever order and company."""
    data, gain, mask = frames(6, 0.3)
    planted(data)
    together, alone = data.copy(), data[::-1].copy()
    found = dark_peak_shift(together, gain, mask, ASIC)
    for frame in range(6):
        dark_peak_shift(alone[frame : frame + 1], gain[:1], mask[:1], ASIC)
    np.testing.assert_array_equal(together, alone[::-1])
    assert found.shape == (6, 2, 2)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: dark_peak_shift(*frames(1), (60, 64)), "60 x 64 pixels: needs some that tile"),
        (lambda: dark_peak_shift(*frames(1), (128, 128)), "at most 8192"),
        (lambda: DarkPeak(noise=0), "noise is 0 ADU"),
        (lambda: DarkPeak(max_shift=2000), "max_shift is 2000 ADU"),
        (lambda: DarkPeak(max_error=np.nan), "max_error is nan"),
        (lambda: DarkPeak(fraction=0), "fraction of dark pixels is 0"),
    ],
)
def test_impossible_options(call, complaint):
    with pytest.raises(BadParameter, match=complaint):
        call()


def test_zero_frames():
    assert dark_peak_shift(*frames(0), ASIC).shape == (0, 2, 2)


I2, N2 = types.Array(types.int16, 1, "C"), types.int16
F4, U1, U4 = (types.Array(t, 1, "C") for t in (types.float32, types.uint8, types.uint32))


@pytest.mark.parametrize(
    ("line", "signature"),
    [
        ("_count_below", (I2, N2)),
        ("_window_of_part", (I2, N2, N2)),
        ("_lit", (I2, N2, I2)),
        ("_class_of_each", (I2, I2, I2, I2, I2, N2, N2, I2)),
        ("_class_of_part", (I2, I2, N2, N2)),
        ("_to_steps", (F4, U1, U4, types.int64, types.int64, types.uint32, I2, types.int64)),
        ("_subtract", (F4, U1, U4, types.int64, types.int64, types.uint32, types.float32)),
    ],
)
def test_the_inner_loops_do_several_pixels_per_instruction(line, signature):
    """Compiled anew: code that comes from the cache has no assembly to look at."""
    compiled = njit(nogil=True)(
        getattr(dark_shift if line in ("_to_steps", "_subtract") else dark_peak, line).py_func
    )
    compiled.compile(signature)
    (assembly,) = compiled.inspect_asm().values()
    # x86 names; arm: the same with eight lanes, or four floats
    assert re.search(r"\bv?(p(add|sub|cmpgt)w|mulps|subps)\b|\.(8h|4s)", assembly)
