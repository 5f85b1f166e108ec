"""The detector that is drawn from a seed."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.detectors.bad_pixels import BadPixels
from calibook.simulation.jungfrau_model import SHARE, draw_detector
from calibook.simulation.jungfrau_truth import MODULE_SHAPE, PixelKind


@pytest.fixture(scope="module")
def truth():
    return draw_detector(1, 1, 1)


def test_truth_depends_on_seed_and_module_alone(truth):
    again = draw_detector(1, 1, 1)
    for name in ("offset", "gain", "noise", "bad", "kinds"):
        np.testing.assert_array_equal(getattr(again, name), getattr(truth, name))
    for other in (draw_detector(2, 1, 1), draw_detector(1, 2, 1)):
        assert (other.offset != truth.offset).mean() > 0.9
        assert (other.kinds != truth.kinds).any()


def test_shapes_and_signs(truth):
    for name, dtype in {"offset": "f4", "gain": "f4", "bad": "u4"}.items():
        assert getattr(truth, name).dtype == dtype
        assert getattr(truth, name).shape == (1, 3, *MODULE_SHAPE)
    assert truth.noise.dtype == "f4" and truth.noise.shape == (3, *MODULE_SHAPE)
    assert (truth.gain[:, 0] > 0).all()
    assert (truth.gain[:, 1:] < 0).all()


def test_as_many_bad_pixels_of_each_kind_as_documented(truth):
    for kind, share in SHARE.items():
        assert np.count_nonzero(truth.kinds == kind) == round(share * truth.kinds.size)


def test_bad_pixels_lie_far_outside_and_good_ones_inside(truth):
    """Five sigma (from the MAD) tell all pixels that are bad by offset or noise from all others."""
    offset_or_noise = int(BadPixels.OFFSET_OUT_OF_THRESHOLD | BadPixels.NOISE_OUT_OF_THRESHOLD)
    for stage in range(3):
        outside = np.zeros(MODULE_SHAPE, bool)
        for values in (truth.offset[0, stage], truth.noise[stage]):
            distance = np.abs(values - np.median(values))
            outside |= distance > 5 * 1.4826 * np.median(distance)
        np.testing.assert_array_equal(outside, (truth.bad[0, stage] & offset_or_noise) != 0)


def test_pixels_that_fail_to_switch_are_bad_in_the_stages_they_miss(truth):
    wrong = int(BadPixels.WRONG_GAIN_VALUE)
    expected = {
        PixelKind.STAYS_IN_G0: [0, wrong, wrong],
        PixelKind.STAYS_IN_G1: [0, 0, wrong],
        PixelKind.WRONG_CODE: [0, wrong, wrong],
    }
    for kind, words in expected.items():
        assert (truth.bad[0][:, truth.kinds == kind] == np.array(words)[:, None]).all()
    assert (truth.bad[0][:, truth.kinds == PixelKind.GOOD] == 0).all()


def test_memory_cells_ripple():
    truth = draw_detector(1, 1, 3)
    good = (truth.bad == 0).all(axis=(0, 1))
    ripple = truth.offset - truth.offset.mean(axis=0)
    assert np.abs(ripple[:, :, good]).max() < 80
    assert np.abs(ripple[:, 0, good].mean(axis=1)).max() > 1
    ratio = truth.gain[:, 0, good] / truth.gain[0, 0, good]
    assert 1e-4 < np.ptp(ratio.mean(axis=1)) < 0.006
    # The pixels themselves are those of the single-cell detector.
    single = draw_detector(1, 1, 1)
    np.testing.assert_array_equal(truth.kinds, single.kinds)
    np.testing.assert_array_equal(truth.noise, single.noise)


def test_a_bad_cell_is_bad_alone():
    truth = draw_detector(1, 1, 3)
    pixels = truth.kinds == PixelKind.BAD_CELL
    assert ((truth.bad[:, 0, pixels] != 0).sum(axis=0) == 1).all()
    np.testing.assert_array_equal(truth.offset[:, 0, pixels] > 8000, truth.bad[:, 0, pixels] != 0)


def test_common_mode_is_in_the_noise_of_g0_only(truth):
    quiet = draw_detector(1, 1, 1, common_mode=False)
    moving = (truth.noise > 0)[0]
    variance = truth.noise[0, moving] ** 2 - quiet.noise[0, moving] ** 2
    # 1.5^2 + 0.7^2; the noise, at most 15 ADU, is kept in steps of 1/64 ADU
    np.testing.assert_allclose(variance[quiet.noise[0, moving] < 15], 2.74, atol=2 * 15 / 64)
    np.testing.assert_array_equal(truth.noise[1:], quiet.noise[1:])
