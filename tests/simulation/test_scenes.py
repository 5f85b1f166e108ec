"""What falls on the detector."""

from __future__ import annotations

import numpy as np
import pytest
from extra_geom import AGIPD_1MGeometry

from calibook.detectors.agipd import AGIPD, AGIPD_500K
from calibook.detectors.jungfrau import double_size_pixels
from calibook.errors import BadParameter
from calibook.simulation import agipd_scenes, scenes
from calibook.simulation.jungfrau_scenes import expected_photons, pixel_area


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
    with pytest.raises(BadParameter, match=r"scene='ring'.*dark, flat, rings, particle, adverse"):
        expected_photons("ring", 1, 1.0)
    with pytest.raises(BadParameter, match="intensity=-1"):
        expected_photons("flat", 1, -1.0)


def agipd_photons(scene: str, intensity: float) -> np.ndarray:
    return agipd_scenes.expected_photons(AGIPD, scene, intensity, double_size=False)


def test_scenes_of_a_whole_agipd():
    for scene in ("flat", "rings", "particle", "adverse"):
        photons = agipd_photons(scene, 20.0)
        assert photons.shape == (16, 512, 128)
        assert photons.mean() == pytest.approx(20, rel=1e-4)


def test_adverse_scene_has_its_levels():
    photons = agipd_photons("adverse", scenes.ADVERSE_INTENSITY)
    levels, counts = np.unique(photons, return_counts=True)
    assert levels == pytest.approx([0.2, 320, 6450], rel=1e-5)
    assert counts / photons.size == pytest.approx([0.7, 0.2, 0.1], abs=1e-3)
    # In every module, and in patches: neighbours are mostly alike.
    assert ((photons > 1).mean(axis=(1, 2)) > 0.1).all()
    assert (photons[:, 1:] == photons[:, :-1]).mean() > 0.7


def test_particle_has_fringes_around_the_beam():
    photons = agipd_photons("particle", 1.0)
    positions = AGIPD_1MGeometry.example().get_pixel_positions()[..., :2]
    r = scenes.radius(positions - positions.mean(axis=(0, 1, 2)))
    profile = [photons[(r > low) & (r <= low + 0.01)].mean() for low in np.arange(0.1, 0.9, 0.01)]
    turns = np.count_nonzero(np.diff(np.sign(np.diff(profile))))
    # Two turns a fringe; fringes are pi / 40 of the radius wide.
    assert turns == pytest.approx(2 * 0.8 * 40 / np.pi, abs=4)
    assert profile[0] > 50 * profile[-1]


def test_half_size_agipd_has_eight_modules():
    assert agipd_scenes.expected_photons(AGIPD_500K, "rings", 1.0, True).shape == (8, 512, 128)
