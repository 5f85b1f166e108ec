"""Large shifts of the baseline, planted under photons."""

from functools import cache

import analogue_twins as twins
import numpy as np
import pytest
from flat_fields import signals
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.errors import BadParameter
from calibook.kernels.baseline import histogram_shift, light_shift, noise_peak_shift, stripe_shift

NOISE, PHOTON, PIXELS = 8.0, 65.0, 8192
PLANTED = np.array([0, -3, -40, -150, -300, 20], "f4")
STRIPES = np.arange(PIXELS) % 8 == 0


def frames(mean_photons, dark=None, seed=0):
    r = np.random.default_rng(seed)
    shape = (len(PLANTED), PIXELS)
    photons = r.poisson(mean_photons, shape)
    if dark is not None:
        photons[:, dark] = 0
    data = r.normal(0, NOISE, shape) + PHOTON * photons + PLANTED[:, None]
    return data.astype("f4"), np.zeros(shape, "u1"), np.zeros(shape, "u4")


@cache
def reference(mean_photons):
    r = np.random.default_rng(99)
    values = r.normal(0, NOISE, 10**6) + PHOTON * r.poisson(mean_photons, 10**6)
    return np.histogram(values, 200, (-100, 300))[0].astype("f8"), -100.0, 2.0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([0.1, 1.5]), st.sampled_from([0, 1, 60]))
def test_the_kernels_are_the_twins_bit_for_bit(seed, mean_photons, min_pixels):
    r = np.random.default_rng(seed)
    pixels = r.choice([1, 7, 300])
    data, gain, mask = (a[:, :pixels].copy() for a in frames(mean_photons, seed=seed))
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e30, -2000, 100, 1e6], "f4")
    data = np.where(r.random(data.shape) < 0.1, r.choice(odd, data.shape), data)
    gain[:] = r.choice(np.array([0, 0, 0, 1, 2], "u1"), data.shape)
    mask[:] = r.choice(np.array([0, 0, 0, 1, 4], "u4"), data.shape)
    stripes = r.random(data.shape[1]) < 0.5
    stripes[0] = True
    calls = [
        (noise_peak_shift, twins.noise_peak_shift, ((-2000.0, 100.0), 5.0, 20.0, 40.0, min_pixels, 1)),
        (stripe_shift, twins.stripe_shift, (stripes, min_pixels, 1)),
        (histogram_shift, twins.histogram_shift, (*reference(mean_photons), 50.0, min_pixels, 1)),
    ]
    for kernel, twin, options in calls:
        ours = data.copy()
        shift = kernel(ours, gain, mask, *options)
        with np.errstate(invalid="ignore"):
            expected, expected_shift = twin(data, gain, mask, *options)
        np.testing.assert_array_equal(shift.view("u4"), expected_shift.view("u4"), err_msg=kernel.__name__)
        np.testing.assert_array_equal(ours, expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([-0.01, 0.0, 3.0]), st.sampled_from([(4, 6), (8, 12), (1, 1)]))
def test_the_shift_by_light_is_the_twin_s_bit_for_bit(seed, per_signal, block):
    r = np.random.default_rng(seed)
    data = r.normal(30, 50, (r.integers(0, 3), 8, 12)).astype("f4")
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e30, 1e6], "f4")
    data = np.where(r.random(data.shape) < 0.1, r.choice(odd, data.shape), data)
    gain = r.choice(np.array([0, 0, 1, 2, 3], "u1"), data.shape)
    mask = r.choice(np.array([0, 0, 0, 1, 4], "u4"), data.shape)
    options = block, per_signal, (1.0, 32.0, 143.4), 300.0, 1
    ours = data.copy()
    shift = light_shift(ours, gain, mask, *options)
    with np.errstate(invalid="ignore", over="ignore"):
        expected, expected_shift = twins.light_shift(data, gain, mask, *options)
    np.testing.assert_array_equal(shift, expected_shift)
    np.testing.assert_array_equal(ours, expected)


def test_light_lowers_the_baseline_of_chips_without_a_dark_pixel():
    r = np.random.default_rng(0)
    light = np.array([10.0, 400.0])[None, :, None].repeat(64, 2).repeat(64, 1).reshape(1, 128, 64)
    gain = (light > 100).astype("u1") * (r.random(light.shape) < 0.5).astype("u1")
    true = np.where(gain > 0, light * 100 / 32, light)
    means = np.array([10.0, (400 + 40000) / 2])
    lowered = np.where(gain > 0, true, true - 1e-3 * means.repeat(64)[None, :, None]).astype("f4")
    found = light_shift(lowered, gain, np.zeros(gain.shape, "u4"), (64, 64), -1e-3, (1.0, 32.0, 143.4))
    # The mean is itself a thousandth too low, and half of the pixels of the second chip are by chance.
    np.testing.assert_allclose(found[0, :, 0], -1e-3 * means, rtol=0.05)


@pytest.mark.parametrize("mean_photons", [0.0, 0.1, 0.5, 1.0])
def test_all_three_find_what_was_planted(mean_photons):
    for kind in ("peak", "stripes", "histogram"):
        arrays = frames(mean_photons, STRIPES if kind == "stripes" else None)
        before = arrays[0].copy()
        if kind == "peak":
            found = noise_peak_shift(*arrays)
        elif kind == "stripes":
            found = stripe_shift(*arrays, STRIPES)
        else:
            found = histogram_shift(*arrays, *reference(mean_photons), largest=400)
        # At one photon per pixel 3000 dark samples are left: 8 / sqrt(3000) = 0.15 ADU, five of them;
        # a median has 1.25 times the error of a mean, of 1024 stripe pixels 0.3 ADU, five of them.
        assert np.abs(found - PLANTED).max() < {"peak": 0.75, "stripes": 1.6, "histogram": 1.2}[kind], kind
        np.testing.assert_array_equal(arrays[0], before - found[:, None])


CLOUD = 0.05  # sigma of the charge cloud: 10 um of 200


def shared_frames(mean_photons, dark=None, seed=0):
    """As `frames`, of photons whose charge the borders of pixels cut; dark rows have lit neighbours."""
    rng = np.random.default_rng(seed)
    light = {"mean": mean_photons, "spacing": PHOTON, "noise": NOISE, "cloud": CLOUD}
    data = signals(rng, len(PLANTED), PIXELS, **light)
    if dark is not None:
        data[:, dark] = signals(rng, len(PLANTED), dark.sum(), **light, beside=True)
    data += PLANTED[:, None]
    return data, np.zeros(data.shape, "u1"), np.zeros(data.shape, "u4")


@pytest.mark.parametrize("mean_photons", [0.02, 0.1, 0.3, 0.6, 1.0])
def test_shared_charge_moves_the_baseline_by_little(mean_photons):
    """Charge that photons leave in dark neighbours pulls a mean up, in proportion to light: by 4 % of
    a photon, 2.7 ADU, at one photon per pixel, and by half of it in dark rows, whose lit neighbours are
    fewer. The common mode, found later, takes it out again."""
    among = shared_frames(mean_photons, seed=9)
    noise_peak_shift(*among)
    histogram = np.histogram(among[0], 260, (-300, 1000))[0].astype("f8"), -300.0, 5.0
    found = {
        "peak": noise_peak_shift(*shared_frames(mean_photons)),
        "stripes": stripe_shift(*shared_frames(mean_photons, STRIPES), STRIPES),
        "histogram": histogram_shift(*shared_frames(mean_photons), *histogram, largest=400),
    }
    for kind, pull in (("peak", 2.7), ("stripes", 1.5), ("histogram", 2.7)):
        off = found[kind] - PLANTED - pull * mean_photons
        assert np.abs(off).max() < {"peak": 0.75, "stripes": 1.6, "histogram": 1.2}[kind], kind
        assert abs(off.mean()) < 0.4, kind


def test_the_dark_peak_is_taken_though_a_photon_peak_is_higher():
    arrays = frames(1.6)  # e^-1.6 = 0.20 dark, 0.32 with one photon
    assert np.abs(noise_peak_shift(*arrays) - PLANTED).max() < 1


def test_only_good_pixels_of_high_gain_take_part():
    data, gain, mask = frames(0.1)
    gain[:, :1000], mask[:, 1000:2000] = 1, 1
    data[:, :1000], data[:, 1000:1500], data[:, 1500:2000] = -500, np.nan, -1000
    found = noise_peak_shift(data, gain, mask)
    assert np.abs(found - PLANTED).max() < 0.75
    assert (data[:, :1000] == -500).all() and (data[:, 1500:2000] == -1000).all()


def test_nan_takes_no_part():
    data, gain, mask = frames(0.1)
    data[:, ::2] = np.nan
    assert np.abs(noise_peak_shift(data, gain, mask) - PLANTED).max() < 1
    data, gain, mask = frames(0.1)
    data[:, ::2] = np.inf
    assert np.abs(histogram_shift(data, gain, mask, *reference(0.1), largest=400) - PLANTED).max() < 1.2


def test_frames_that_are_too_bright_or_too_empty_are_left_alone():
    data, gain, mask = frames(0.1)
    data[0] += 6000
    mask[1, 400:] = 1
    found = noise_peak_shift(data, gain, mask)
    assert found[0] == found[1] == 0 and found[3] != 0
    mask[:] = 1
    assert not stripe_shift(data, gain, mask, STRIPES).any()
    assert not histogram_shift(data, gain, mask, *reference(0.1)).any()


def test_a_second_time_changes_next_to_nothing():
    arrays = frames(0.3)
    noise_peak_shift(*arrays)
    assert np.abs(noise_peak_shift(*arrays)).max() < 0.1


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda a: noise_peak_shift(*a, search=(100, -100)), "needs low below high"),
        (lambda a: stripe_shift(*a, np.zeros(PIXELS, bool)), "stripes of 0 pixels"),
        (lambda a: stripe_shift(*a, np.ones(5, bool)), "stripes of 5 pixels"),
        (lambda a: histogram_shift(*a, np.full(5, -1.0), 0.0, 1.0), "reference histogram"),
        (lambda a: light_shift(*(b[None] for b in a), (4, 4), 1.0, (1, 1, 1)), "needs some that tile"),
        (lambda a: light_shift(*(b[None] for b in a), (6, 4), np.nan, (1, 1, 1)), "needs numbers"),
    ],
)
def test_impossible_options(call, complaint):
    with pytest.raises(BadParameter, match=complaint):
        call(frames(0.1))


def test_zero_frames():
    nothing = [np.zeros((0, 10), t) for t in ("f4", "u1", "u4")]
    assert noise_peak_shift(*nothing).shape == (0,)
