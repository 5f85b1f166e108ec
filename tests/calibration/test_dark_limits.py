from dataclasses import replace

import numpy as np
import pytest

from calibook.calibration.dark_limits import DarkLimits, bad_pixels_of_darks
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadParameter

SHAPE = (2, 3, 64, 64)
FRAMES = 500
OFFSETS, SPREADS, NOISES = (2900, 14200, 14200), (250, 300, 300), (12, 5, 5)  # ADU
LIMITS = DarkLimits(((1000, 8000), (10000, 15000), (10000, 15000)), ((1, 40), (0.5, 20), (0.5, 20)))
SOME = (1, 2, 10, 20)  # cell, gain stage, slow_scan, fast_scan


def per_stage(values):
    return np.array(values, "f8")[None, :, None, None]


@pytest.fixture
def dark():
    """A healthy module; noise known as well as 500 frames tell it: sigma / sqrt(2 * frames)."""
    r = np.random.default_rng(5)
    offset = r.normal(per_stage(OFFSETS), per_stage(SPREADS), SHAPE).clip(1500, 14900)
    noise = r.normal(per_stage(NOISES), per_stage(NOISES) / np.sqrt(2 * FRAMES), SHAPE)
    zeros = np.zeros(SHAPE, "u4")
    return {
        "offset": offset,
        "noise": noise,
        "count": zeros + np.uint32(FRAMES),
        "wrong": zeros.copy(),
        "saturated": zeros.copy(),
    }


def only(words, where=SOME):
    """The word there, after a look that it's the only one."""
    others = words.copy()
    others[where] = 0
    assert words.dtype == np.uint32 and not others.any()
    return BadPixels(int(words[where]))


def test_a_healthy_module_is_good(dark):
    # 25 000 values; 5 sigma of a Gaussian leave 0.014 of them outside.
    assert not bad_pixels_of_darks(**dark, limits=LIMITS).any()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"offset": 9000}, BadPixels.OFFSET_OUT_OF_THRESHOLD),
        ({"offset": 15500}, BadPixels.OFFSET_OUT_OF_THRESHOLD),
        ({"offset": 14200 - 6.5 * 300}, BadPixels.OFFSET_OUT_OF_THRESHOLD),
        ({"noise": 0}, BadPixels.NOISE_OUT_OF_THRESHOLD),
        ({"noise": 80}, BadPixels.NOISE_OUT_OF_THRESHOLD),
        ({"noise": 6.2}, BadPixels.NOISE_OUT_OF_THRESHOLD),
        ({"noise": np.nan}, BadPixels.OFFSET_NOISE_EVAL_ERROR),
        ({"offset": np.nan}, BadPixels.OFFSET_NOISE_EVAL_ERROR),
        ({"offset": np.inf}, BadPixels.OFFSET_NOISE_EVAL_ERROR),
        (
            {"count": 0, "wrong": 500, "offset": np.nan, "noise": np.nan},
            BadPixels.NO_DARK_DATA | BadPixels.OFFSET_NOISE_EVAL_ERROR | BadPixels.WRONG_GAIN_VALUE,
        ),
        ({"count": 0, "offset": np.nan}, BadPixels.NO_DARK_DATA | BadPixels.OFFSET_NOISE_EVAL_ERROR),
        ({"count": 475, "wrong": 25}, 0),
        ({"count": 474, "wrong": 26}, BadPixels.WRONG_GAIN_VALUE),
        ({"saturated": 50}, 0),
        ({"saturated": 51}, BadPixels.OFFSET_OUT_OF_THRESHOLD),
    ],
)
def test_one_bad_pixel(dark, changes, expected):
    for name, value in changes.items():
        dark[name][SOME] = value
    assert only(bad_pixels_of_darks(**dark, limits=LIMITS)) == expected


def test_a_dead_block_does_not_hide_a_bad_pixel(dark):
    """A quarter of the module is dead: the plain mean and standard deviation would let all pass."""
    dark["offset"][:, :, :16], dark["noise"][:, :, :16] = 0, 0
    dark["noise"][SOME] = 80
    dark["offset"][1, 2, 20, 20] = 14200 - 6.5 * 300
    dark["noise"][1, 2, 20, 20] = 5
    words = bad_pixels_of_darks(**dark, limits=LIMITS)
    both = BadPixels.OFFSET_OUT_OF_THRESHOLD | BadPixels.NOISE_OUT_OF_THRESHOLD
    assert (words[:, :, :16] == both).all()
    assert words[1, 2, 20, 20] == BadPixels.OFFSET_OUT_OF_THRESHOLD
    assert (words[:, :, 16:] != 0).sum() == 1


def test_stages_and_cells_have_their_own_median(dark):
    dark["offset"][1] -= 200
    dark["noise"][1] *= 2
    assert not bad_pixels_of_darks(**dark, limits=LIMITS).any()


def test_a_module_without_any_dark_is_all_bad(dark):
    nothing = np.full(SHAPE, np.nan)
    zeros = np.zeros(SHAPE, "u4")
    words = bad_pixels_of_darks(nothing, nothing, zeros, zeros, zeros, LIMITS)
    assert (words == BadPixels.NO_DARK_DATA | BadPixels.OFFSET_NOISE_EVAL_ERROR).all()


def test_limits_can_be_chosen(dark):
    strict = replace(LIMITS, noise=((0, 10), (0, 10), (0, 10)))
    words = bad_pixels_of_darks(**dark, limits=strict)
    high_gain = words[:, 0] & BadPixels.NOISE_OUT_OF_THRESHOLD
    assert (high_gain != 0).mean() > 0.99 and not words[:, 1:].any()


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"offset": ((8000, 1000),) * 3}, "offset limits"),
        ({"noise": ((5, 5),) * 3}, "noise limits"),
        ({"noise_sigma": 0}, "noise_sigma is 0"),
        ({"wrong_gain": 1.5}, "wrong_gain is 1.5"),
        ({"saturated": -0.1}, "saturated is -0.1"),
    ],
)
def test_impossible_limits(limits, complaint):
    with pytest.raises(BadParameter, match=complaint):
        replace(LIMITS, **limits)


def test_arrays_must_fit(dark):
    with pytest.raises(ValueError, match="count has shape"):
        bad_pixels_of_darks(**{**dark, "count": dark["count"][:1]}, limits=LIMITS)
    with pytest.raises(ValueError, match="limits for each gain stage"):
        bad_pixels_of_darks(**{name: array[:, :2] for name, array in dark.items()}, limits=LIMITS)


def test_limits_come_as_lists_with_a_value_for_each_stage():
    lists = {
        "offset_low": [1, 2, 3],
        "offset_high": [4, 5, 6],
        "noise_low": [1, 1, 1],
        "noise_high": [9, 8, 7],
    }
    limits = DarkLimits.from_lists(("G0", "G1", "G2"), lists, wrong_gain=0.5)
    assert limits == DarkLimits(((1, 4), (2, 5), (3, 6)), ((1, 9), (1, 8), (1, 7)), wrong_gain=0.5)
    with pytest.raises(BadParameter, match=r"noise_low=\[1, 1\]: needs 3 values, one for each of G0, G1, G2"):
        DarkLimits.from_lists(("G0", "G1", "G2"), {**lists, "noise_low": [1, 1]})
    with pytest.raises(BadParameter, match="noise limits"):
        DarkLimits.from_lists(("G0", "G1", "G2"), {**lists, "noise_low": [1, 1, 8]})
