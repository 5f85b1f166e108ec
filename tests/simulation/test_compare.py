"""Figures of merit on small arrays whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.simulation.compare import (
    _normal_below,
    comparable_pixels,
    compare_counts,
    compare_darks,
    compare_gains,
    compare_photons,
    compare_shifts,
    compare_stages,
    expected_counts,
)
from calibook.simulation.jungfrau_truth import JungfrauTruth, PhotonTruth

SHAPE = (2, 3, 4, 5)


@pytest.fixture
def truth() -> JungfrauTruth:
    bad = np.zeros(SHAPE, "u4")
    bad[0, :, 0, 0] = 1
    bad[1, 2, 0, 1] = 1 << 21
    offset = np.full(SHAPE, 1000, "f4")
    return JungfrauTruth(
        offset, np.ones(SHAPE, "f4"), np.full(SHAPE[1:], 4, "f4"), bad, np.zeros((4, 5), "u1")
    )


def test_dark_figures(truth):
    shift = np.array([0.5, -1, 2])[None, :, None, None]
    offset = np.where(truth.bad, 9999, truth.offset + shift)
    noise = np.broadcast_to(truth.noise * np.float32(1.5), SHAPE)
    figures = compare_darks(truth, offset, noise, truth.bad)
    assert [figures[f"offset_bias_adu_G{stage}"] for stage in range(3)] == pytest.approx([0.5, -1, 2])
    assert [figures[f"noise_ratio_G{stage}"] for stage in range(3)] == pytest.approx([1.5] * 3)
    assert (figures["bad_pixel_precision"], figures["bad_pixel_recall"]) == (1, 1)


def test_bad_pixels_missed_and_invented(truth):
    bad = truth.bad.copy()
    bad[1, 2, 0, 1] = 0
    bad[0, 0, 3, :3] = 2
    figures = compare_darks(truth, truth.offset, np.broadcast_to(truth.noise, SHAPE), bad)
    assert figures["bad_pixel_recall"] == pytest.approx(3 / 4)
    assert figures["bad_pixel_precision"] == pytest.approx(3 / 6)


def test_what_was_not_measured_does_not_count(truth):
    offset = truth.offset.copy()
    offset[:, 1] = np.nan
    offset[0, 0, 3, 3] = np.nan
    figures = compare_darks(truth, offset, np.broadcast_to(truth.noise, SHAPE), truth.bad)
    assert figures["offset_bias_adu_G0"] == 0
    assert np.isnan(figures["offset_bias_adu_G1"])


def test_photon_bias_over_good_pixels_of_all_modules():
    true = np.full((3, 2, 4, 5), 100, "u8")
    true[2] = 0
    measured = true * np.array([1.01, 0.98, 1])[:, None, None, None]
    good = np.ones((2, 4, 5), bool)
    good[0, 1] = False
    measured[:, 0, 1] = np.nan
    figures = compare_photons(true, measured, good)
    assert figures["photon_bias_G0"] == pytest.approx(0.01)
    assert figures["photon_bias_G1"] == pytest.approx(-0.02)
    assert np.isnan(figures["photon_bias_G2"])


def test_comparable_pixels_are_good_everywhere_and_never_saturated(truth):
    saturated = np.zeros((4, 5), "u4")
    saturated[3, 3] = 1
    sums = np.zeros((3, 4, 5), "u8")
    good = comparable_pixels(truth, PhotonTruth(sums, sums, saturated, sums[:0]))
    assert sorted(zip(*np.nonzero(~good), strict=True)) == [(0, 0), (0, 1), (3, 3)]


def test_shapes_have_to_fit(truth):
    with pytest.raises(ValueError, match="measured"):
        compare_darks(truth, truth.offset[:1], np.ones(SHAPE), truth.bad)
    with pytest.raises(ValueError, match="don't fit"):
        compare_photons(np.ones((3, 4, 5)), np.ones((3, 4, 4)), np.ones((4, 5), bool))


def test_wrong_stages_of_samples_that_count():
    true = np.zeros((2, 4, 5), "u1")
    measured = true.copy()
    measured[0, 0, :2] = 1
    measured[1, 3, 3] = 2
    usable = np.ones((4, 5), bool)
    usable[0, 0] = False
    assert compare_stages(true, measured, usable) == {"wrong_stage": pytest.approx(2 / 38)}
    assert np.isnan(compare_stages(true, measured, ~usable & False)["wrong_stage"])


def test_false_and_lost_photons():
    true = np.array([[[0, 0, 0, 0, 1, 1, 2]]])
    measured = np.array([[[0.1, 0.6, -3, np.nan, 1.2, 0.4, 0.2]]])
    figures = compare_counts(true, measured, np.ones((1, 7), bool))
    assert figures == {"false_photons": 0.25, "lost_photons": 0.5}
    usable = np.array([[True, False, True, True, True, False, True]])
    assert compare_counts(true, measured, usable) == {"false_photons": 0, "lost_photons": 0}


def test_variance_of_shifts_that_is_left():
    planted = np.array([[1.0, 10], [-1, 30], [1, 10], [-1, 30]])
    assert compare_shifts(planted, planted + 5)["shift_variance_left"] == 0
    assert compare_shifts(planted, 0 * planted)["shift_variance_left"] == 1
    half = compare_shifts(planted, planted / 2)["shift_variance_left"]
    assert half == pytest.approx(0.25)
    none_found = np.where(planted < 20, planted, np.nan)
    # Frames that keep a shift which others lost are further apart than before.
    assert compare_shifts(planted, none_found)["shift_variance_left"] > 1
    assert np.isnan(compare_shifts(np.ones((3, 2)), np.ones((3, 2)))["shift_variance_left"])


def test_gains_bias_failures_and_pulls():
    rng = np.random.default_rng(1)
    true = np.full((4, 5000), 7.0)
    measured = true * 1.002 + rng.normal(0, 0.1, true.shape)
    measured[0, :100] = np.nan
    good = np.ones(true.shape, bool)
    good[3] = False
    measured[3] = 99
    figures = compare_gains(true, measured, good, np.full(true.shape, 0.05))
    assert figures["gain_bias"] == pytest.approx(0.002, abs=5 * 0.1 / 7 / np.sqrt(15000))
    assert figures["gain_failed"] == pytest.approx(100 / 15000)
    assert figures["gain_pull_width"] == pytest.approx(2, rel=0.03)
    assert set(compare_gains(true, measured, good)) == {"gain_bias", "gain_failed"}


def test_expected_counts_are_what_noise_alone_makes():
    """A million samples: the shares, of a few percent, are known to 1 %; three times that is allowed."""
    rng = np.random.default_rng(3)
    photons = rng.poisson(0.5, (10, 100, 1000))
    charge = photons * 0.9 + rng.uniform(0, 0.2, photons.shape)  # what neighbours share
    noise = rng.uniform(0.1, 0.3, photons.shape)
    usable = rng.random(photons.shape[1:]) < 0.9
    shares, events = expected_counts(photons, charge, noise, usable)
    measured = compare_counts(photons, charge + rng.normal(0, noise), usable)
    assert measured == pytest.approx(shares, rel=0.03)
    empty = ((photons == 0) & usable).sum()
    assert events["false_photons"] == pytest.approx(shares["false_photons"] * empty)


def test_shares_of_the_normal_distribution_are_scipy_s():
    from scipy.special import ndtr

    x = np.linspace(-30, 9, 1000)
    # Two libraries' erfc, each good to some units of the last place.
    np.testing.assert_allclose(_normal_below(x), ndtr(x), rtol=1e-12)
