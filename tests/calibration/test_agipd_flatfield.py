import numpy as np
import pytest

from calibook.calibration.agipd.flatfield import FlatFieldLimits, flat_field_gains, joined
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadParameter
from calibook.kernels.peaks import GOOD, IMPOSSIBLE, NO_ENTRIES, NOT_CONVERGED, PeakFits

ENERGY = 8.048
GAIN = 56 / ENERGY * (1 + (0.2 / 56) ** 2)
"""Of `fits`: spacing of peaks per energy, and larger by its relative variance."""


def fits(cells=2, pixels=8):
    shape = (cells, pixels)
    of = {name: np.full(shape, value) for name, value in
          {"position": 0.0, "position_error": 0.1, "spacing": 56.0, "spacing_error": 0.2, "width": 8.0,
           "width_error": 0.1, "deviance": 1.0}.items()}  # fmt: skip
    return PeakFits(**of, amplitude=np.ones((*shape, 5)), status=np.full(shape, GOOD, "u1"))


def test_gain_is_spacing_per_energy():
    found = flat_field_gains(fits(), ENERGY, (2, 4))
    assert found.gain.shape == (2, 2, 4) and not found.bad.any() and not sum(found.cuts.values()).any()
    np.testing.assert_allclose(found.gain, GAIN)
    np.testing.assert_allclose(found.gain_error, 0.2 / ENERGY)


def test_signals_divided_by_uncertain_gains_are_unbiased():
    measured = fits(cells=1, pixels=100_000)
    measured.spacing[:] = np.random.default_rng(0).normal(56, 1.4, measured.spacing.shape)
    measured.spacing_error[:] = 1.4
    photons = 56 / ENERGY / flat_field_gains(measured, ENERGY, (250, 400)).gain
    # The mean of as many is right to 0.8e-4, four of which are taken; the plain estimates' is off by 6.3e-4.
    assert photons.mean(dtype="f8") == pytest.approx(1, abs=3.2e-4)


@pytest.mark.parametrize(
    ("change", "bit", "cut"),
    [
        ({"status": NO_ENTRIES}, BadPixels.FF_NO_ENTRIES, "too few photons"),
        ({"status": NOT_CONVERGED}, BadPixels.FF_GAIN_EVAL_ERROR, "fit failed"),
        ({"status": IMPOSSIBLE}, BadPixels.FF_GAIN_EVAL_ERROR, "fit failed"),
        ({"deviance": 3.1}, BadPixels.FF_GAIN_EVAL_ERROR, "fit bad"),
        ({"spacing_error": 2.0}, BadPixels.FF_GAIN_EVAL_ERROR, "gain uncertain"),
        ({"spacing_error": np.nan}, BadPixels.FF_GAIN_EVAL_ERROR, "gain uncertain"),
        ({"spacing": 56 * 1.21}, BadPixels.FF_GAIN_DEVIATION, "gain deviates"),
        ({"width": 25.0}, BadPixels.FF_GAIN_DEVIATION, "width deviates"),
    ],
)
def test_quality_cuts(change, bit, cut):
    measured = fits()
    for name, value in change.items():
        getattr(measured, name)[1, 5] = value
    found = flat_field_gains(measured, ENERGY, (2, 4))
    assert found.bad[1, 1, 1] == bit and np.count_nonzero(found.bad) == 1
    assert {name: pixels.tolist() for name, pixels in found.cuts.items()} == {
        name: [0, int(name == cut)] for name in found.cuts
    }
    # A bad pixel gets the median of its cell, so that its data are usable for the curious.
    assert found.gain[1, 1, 1] == pytest.approx(56 / ENERGY) and np.isnan(found.gain_error[1, 1, 1])


def test_a_cell_without_any_good_pixel_takes_the_gain_of_the_others():
    measured = fits()
    measured.status[1] = NO_ENTRIES
    found = flat_field_gains(measured, ENERGY, (2, 4))
    assert np.isnan(found.gain[1]).all()
    whole = joined([found, flat_field_gains(fits(cells=1), ENERGY, (2, 4))])
    np.testing.assert_allclose(whole.gain, GAIN)
    assert (whole.bad[1] == BadPixels.FF_NO_ENTRIES).all() and not whole.bad[[0, 2]].any()
    assert whole.cuts["too few photons"].tolist() == [0, 8, 0]


def test_a_module_without_any_good_pixel_is_refused():
    measured = fits()
    measured.status[:] = NO_ENTRIES
    with pytest.raises(BadParameter, match=r"no pixel of any memory cell .*too few photons: 16"):
        joined([flat_field_gains(measured, ENERGY, (2, 4))])


@pytest.mark.parametrize("change", [{"relative_gain": (1.2, 0.8)}, {"gain_error": 0}])
def test_impossible_limits(change):
    with pytest.raises(BadParameter, match=next(iter(change))):
        FlatFieldLimits(**change)


def test_impossible_energy():
    with pytest.raises(BadParameter, match="photon_energy"):
        flat_field_gains(fits(), 0, (2, 4))
