"""Fits of photon peaks against spectra drawn from photons that know nothing of the fit's model."""

import numpy as np
import pytest
from flat_fields import spectra

from calibook.errors import BadParameter
from calibook.kernels.peak_model import NODES_PER_PHOTON, PeakModel
from calibook.kernels.peaks import (
    GOOD,
    IMPOSSIBLE,
    NO_ENTRIES,
    NOT_CONVERGED,
    expected_counts,
    fit_peaks,
)
from calibook.kernels.spectra import Spectra

SPACING, NOISE = 65.0, 8.0
SCENES = {
    # about 1000 photons on each pixel
    "no sharing": {"mean": 0.3, "frames": 3300},
    "sharing": {"mean": 0.3, "frames": 3300, "cloud": 0.05},
    "sharing, a photon per pixel": {"mean": 1.0, "frames": 1000, "cloud": 0.05},
    "sharing, few photons per frame": {"mean": 0.05, "frames": 20_000, "cloud": 0.05},
    "two lines": {"mean": 0.3, "frames": 3300, "second_line": (1.1065, 0.15)},
}


@pytest.mark.parametrize("name", SCENES)
def test_spacing_is_unbiased_and_its_error_is_honest(name):
    scene = dict(SCENES[name])
    pixels = 80 if scene["frames"] > 5000 else 200
    found = spectra(scene.pop("frames"), pixels, spacing=SPACING, noise=NOISE, **scene)
    model = PeakModel(**{key: scene[key] for key in ("cloud", "second_line") if key in scene})
    fits = fit_peaks(found, 0.95 * SPACING, NOISE, model)
    assert (fits.status == GOOD).all()
    pull = (fits.spacing - SPACING) / fits.spacing_error
    # The mean over n pixels has itself an error of spacing_error / sqrt(n); four of them beside 0.3 %.
    allowed = 0.003 * SPACING + 4 * fits.spacing_error.mean() / np.sqrt(pixels)
    assert abs(fits.spacing.mean() - SPACING) < allowed
    # A standard deviation from n values is known to 1 / sqrt(2 n): 0.05 to 0.07.
    assert 0.9 - 3 / np.sqrt(2 * pixels) < pull.std() < 1.1 + 3 / np.sqrt(2 * pixels)
    assert abs(fits.width.mean() - NOISE) < 0.02 * NOISE
    assert abs(fits.position.mean()) < 0.1


def test_an_offset_of_the_noise_peak_does_not_matter():
    found = spectra(2000, 30, spacing=SPACING, noise=NOISE, mean=0.5)
    moved = Spectra(found.counts, found.start + 7, found.width)
    a, b = fit_peaks(found, SPACING, NOISE), fit_peaks(moved, SPACING, NOISE)
    np.testing.assert_allclose(a.spacing, b.spacing, rtol=1e-3)
    np.testing.assert_allclose(a.position + 7, b.position, atol=0.05)


def test_gains_far_from_the_expected_one_are_found():
    spacing = np.linspace(0.75, 1.25, 60) * SPACING
    fits = fit_peaks(spectra(3000, 60, spacing=spacing, noise=NOISE, mean=0.4), SPACING, NOISE)
    assert (fits.status == GOOD).all()
    assert np.abs((fits.spacing[0] - spacing) / fits.spacing_error[0]).max() < 5


def test_many_counts_give_a_deviance_near_one():
    fits = fit_peaks(spectra(40_000, 20, spacing=SPACING, noise=NOISE, mean=1.0), SPACING, NOISE)
    assert fits.deviance.mean() == pytest.approx(1, abs=0.1)
    amplitude = fits.amplitude.mean(axis=(0, 1)) / 40_000
    # Poisson of mean 1, each to 5 standard deviations of 20 pixels; the last peak is cut by the range
    np.testing.assert_allclose(amplitude[:3], [0.3679, 0.3679, 0.1839], atol=0.004)


def test_dark_and_empty_pixels_have_no_entries():
    dark = spectra(2000, 5, spacing=SPACING, noise=NOISE, mean=0.0)
    fits = fit_peaks(dark, SPACING, NOISE)
    assert (
        (fits.status == NO_ENTRIES).all() and np.isnan(fits.spacing).all() and np.isnan(fits.deviance).all()
    )
    assert (fit_peaks(Spectra.zeros(2, 3, -60, 240, 150), SPACING, NOISE).status == NO_ENTRIES).all()


def test_what_is_no_spectrum_of_photons_is_told():
    counts = Spectra.zeros(1, 3, -60, 240, 150)
    counts.counts[0, 0, 1:-1] = 20  # flat
    counts.counts[0, 1, 100] = 5000  # one bin
    counts.counts[0, 2, 1:-1] = np.random.default_rng(0).poisson(1000, 150)
    fits = fit_peaks(counts, SPACING, NOISE)
    assert np.isin(fits.status, [NOT_CONVERGED, IMPOSSIBLE]).all()
    assert np.isnan(fits.spacing).all() and np.isnan(fits.spacing_error).all()


@pytest.mark.parametrize("cloud", [0.0, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("second_line", [None, (1.1065, 0.15)])
def test_shares_of_charge_add_up(cloud, second_line):
    """All that k photons can leave sums to one, but for what is too rare to keep."""
    model = PeakModel(cloud, second_line)
    charge = np.arange(model.shares.shape[1]) / NODES_PER_PHOTON
    single = charge @ model.shares[1]
    for k, shares in enumerate(model.shares):
        assert shares.sum() == pytest.approx(1, abs=0.01)
        assert charge @ shares == pytest.approx(k * single, rel=0.01)


def test_expected_counts_are_those_of_the_spectrum():
    found = spectra(20_000, 2, spacing=SPACING, noise=NOISE, mean=0.5, cloud=0.05)
    model = PeakModel(0.05)
    fits = fit_peaks(found, SPACING, NOISE, model)
    expected, counted = expected_counts(found, fits, 0, 1, model), found.counts[0, 1, 1:-1]
    many = expected > 20  # there Poisson counts are nearly normal
    pull = (counted - expected)[many] / np.sqrt(expected[many])
    # 150 bins at most: the width is known to 6 %.
    assert 0.8 < pull.std() < 1.2
    fits.status[0, 0], fits.spacing[0, 0] = IMPOSSIBLE, np.nan
    assert np.isnan(expected_counts(found, fits, 0, 0, model)).all()


@pytest.mark.parametrize(
    ("spacing", "noise", "model", "complaint"),
    [
        (0, NOISE, {}, "both must be above 0"),
        (SPACING, -1, {}, "both must be above 0"),
        (SPACING, NOISE, {"cloud": 0.7}, "0 to 0.5"),
        (SPACING, NOISE, {"second_line": (0, 0.1)}, "second line"),
    ],
)
def test_impossible_options(spacing, noise, model, complaint):
    with pytest.raises(BadParameter, match=complaint):
        fit_peaks(Spectra.zeros(1, 1, 0, 1, 1), spacing, noise, PeakModel(**model))
