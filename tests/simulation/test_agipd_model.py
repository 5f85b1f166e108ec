"""The AGIPD module that is drawn from a seed."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from calibook.detectors.bad_pixels import BadPixels
from calibook.simulation.agipd_model import HIGH_TO_MEDIUM_RATIO, SHARE, draw_truth
from calibook.simulation.agipd_truth import MODULE_SHAPE, NO_CELL, PixelKind, asic_maps

CELLS = 4


@pytest.fixture(scope="module")
def truth():
    return draw_truth(5, 1, CELLS)


def test_truth_depends_on_its_arguments_alone(truth):
    again = draw_truth(5, 1, CELLS)
    for item in fields(truth):
        np.testing.assert_array_equal(getattr(again, item.name), getattr(truth, item.name))
    for other in (draw_truth(6, 1, CELLS), draw_truth(5, 2, CELLS)):
        assert (other.pedestal != truth.pedestal).mean() > 0.9
        assert (other.kinds != truth.kinds).any()
    more_cells = draw_truth(5, 1, 32)
    np.testing.assert_array_equal(more_cells.pedestal, truth.pedestal)
    np.testing.assert_array_equal(more_cells.kinds, truth.kinds)


def test_as_many_bad_pixels_of_each_kind_as_documented(truth):
    dead = np.isin(truth.kinds, (PixelKind.DEAD_ASIC, PixelKind.DEAD_ADC))
    assert dead.sum() == 4096 + 1024
    for kind, share in SHARE.items():
        n = round(share * truth.kinds.size)
        assert 0.8 * n < np.count_nonzero(truth.kinds == kind) <= n
    assert not (draw_truth(5, 2, CELLS).kinds == PixelKind.DEAD_ASIC).any()


def test_dead_blocks_are_whole_asics_and_adc_blocks():
    kinds = draw_truth(5, 9, CELLS).kinds
    asics = (kinds == PixelKind.DEAD_ASIC).reshape(8, 64, 2, 64).all(axis=(1, 3))
    assert asics.sum() == 1
    blocks = (draw_truth(5, 0, CELLS).kinds == PixelKind.DEAD_ADC).reshape(8, 64, 8, 16).all(axis=(1, 3))
    assert blocks.sum() == 1


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_bad_pixels_lie_far_outside_and_good_ones_inside(truth, stage):
    """Five sigma (from the MAD) tell all pixels that are bad by offset or noise from all others."""
    outside = np.zeros((CELLS, *MODULE_SHAPE), bool)
    offset, noise, bad = truth.stage(stage)
    for values, sigmas in ((offset, 5), (noise, 7)):
        middle = np.median(values, axis=(1, 2), keepdims=True)
        spread = 1.4826 * np.median(np.abs(values - middle), axis=(1, 2), keepdims=True)
        outside |= np.abs(values - middle) > sigmas * spread
    expected = bad & int(BadPixels.OFFSET_OUT_OF_THRESHOLD | BadPixels.NOISE_OUT_OF_THRESHOLD) != 0
    np.testing.assert_array_equal(outside, expected)


def test_bits_of_gain_levels_where_levels_are_alike(truth):
    apart = truth.level[1] - truth.level[0] > 500
    for stage in range(3):
        word = truth.bad(stage) & int(BadPixels.GAIN_THRESHOLDING_ERROR)
        dead = np.isin(truth.kinds, (PixelKind.DEAD_ASIC, PixelKind.DEAD_ADC))
        np.testing.assert_array_equal(word[0] != 0, ~apart | dead)


def test_a_bad_cell_is_bad_alone(truth):
    pixels = truth.kinds == PixelKind.BAD_CELL
    np.testing.assert_array_equal(pixels, truth.bad_cell != NO_CELL)
    assert ((truth.bad(0)[:, pixels] != 0).sum(axis=0) == 1).all()
    np.testing.assert_array_equal(truth.ripple[:, pixels] > 1000, truth.bad(0)[:, pixels] != 0)


def test_stages_are_far_enough_apart_to_tell_false_ones(truth):
    """More than 1000 ADU, the usual limit, even less the error of forced pedestals and noise."""
    good = truth.kinds == PixelKind.GOOD
    steps = np.diff(truth.pedestal, axis=0)[:, good]
    least = steps - [[truth.forced_error.max()], [0]]
    assert least[0].min() > 1000 + 6 * 15
    # The low stage begins with the charge at which the medium one ends.
    low_signal = truth.switch[1, good] * truth.slope[2, good]
    assert (steps[1] + low_signal).min() > 1000 + 6 * 15
    # The other pedestals follow the high one, pixel by pixel.
    assert np.corrcoef(truth.pedestal[0, good], truth.pedestal[1, good])[0, 1] > 0.9


def test_slopes_and_cells(truth):
    good = truth.kinds == PixelKind.GOOD
    ratio = truth.slope[0, good] / truth.slope[1, good]
    assert ratio.mean() == pytest.approx(HIGH_TO_MEDIUM_RATIO, rel=2e-3)
    assert ratio.std() / ratio.mean() == pytest.approx(0.03, rel=0.05)
    low = (truth.slope[0] / truth.slope[0][good].mean())[truth.kinds == PixelKind.LOW_GAIN]
    assert (low < 0.6).all()
    np.testing.assert_array_equal(
        truth.gain(1)[2, 64:128, :64], truth.slope[1, 64:128, :64] * truth.cell_gain[2, 2]
    )
    assert truth.ripple[:, good].std() > 10


def test_asic_maps_count_along_fast_scan_first():
    maps = asic_maps(np.arange(16))
    assert maps.shape == MODULE_SHAPE
    assert (maps[0, 0], maps[0, 64], maps[64, 0], maps[511, 127]) == (0, 1, 2, 15)


def test_fixed_gain_has_pedestals_alike_and_nothing_to_switch():
    fixed = draw_truth(5, 1, CELLS, fixed_gain=True)
    good = fixed.kinds == PixelKind.GOOD
    assert np.abs(fixed.pedestal[1:, good] - fixed.pedestal[0, good]).max() < 250
    assert not np.isin(fixed.kinds, (PixelKind.STAYS_HIGH, PixelKind.ONE_LEVEL)).any()


def test_common_mode_is_in_the_noise_of_darks(truth):
    quiet = draw_truth(5, 1, CELLS, common_mode=False)
    good = truth.kinds == PixelKind.GOOD
    added = truth.stage(0)[1] ** 2 - quiet.stage(0)[1] ** 2
    np.testing.assert_allclose(added[:, good], 8**2 + 4**2, rtol=1e-3)
