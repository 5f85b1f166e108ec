"""What falls on the detector."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.detectors.jungfrau import double_size_pixels
from calibook.errors import BadParameter
from calibook.simulation.scenes import expected_photons, pixel_area


def test_flat_and_dark():
    assert (expected_photons("flat", 2, 3.0, double_size=False) == 3).all()
    assert not expected_photons("dark", 2, 3.0).any()


@pytest.mark.parametrize("modules", [1, 4])
def test_rings_populate_all_gain_stages(modules):
    photons = expected_photons("rings", modules, 150.0, double_size=False)
    assert photons.shape == (modules, 512, 1024)
    assert photons.mean() == pytest.approx(150, rel=1e-5)
    # Gain switches at 290 keV and 8.4 MeV, and saturates at 129 MeV.
    kev = photons * 9.3
    assert (kev < 290).mean() > 0.3
    assert ((kev > 290) & (kev < 8400)).mean() > 0.3
    assert (kev > 8400).mean() > 0.02
    assert kev.max() < 129e3 / 4


def test_wide_pixels_collect_more():
    area = pixel_area()
    assert set(np.unique(area)) == {1, 2, 4}
    np.testing.assert_array_equal(area > 1, double_size_pixels())
    assert area[255, 511] == 4
    assert area[255, 0] == area[0, 256] == 2
    ratio = expected_photons("rings", 1, 10.0) / expected_photons("rings", 1, 10.0, double_size=False)
    np.testing.assert_allclose(ratio[0], area, rtol=1e-6)


def test_wrong_scenes_are_refused():
    with pytest.raises(BadParameter, match=r"scene='ring'.*dark, flat, rings"):
        expected_photons("ring", 1, 1.0)
    with pytest.raises(BadParameter, match="intensity=-1"):
        expected_photons("flat", 1, -1.0)
