"""Frames of real detectors, wrapped into raw runs: PSI's own photons, and the words of LCLS."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
import pytest
from commands import correct, corrected_alone, corrected_file, images, put_constant
from frames import split_words, write_module

from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.jungfrau import JUNGFRAU, double_size_pixels

pytestmark = pytest.mark.realdata

ENERGY = 12.4  # keV, of PSI's frames
MASKED = 32678  # PSI's value for a masked sample
CROP = np.s_[..., 128:384, 128:384]  # where PSI's frames lie in their module
PEDESTAL, GAIN = 3000, 40.0  # of the module around them [ADU, ADU/keV]


@dataclass(frozen=True)
class Psi:
    """What PSI made of the frames, and what we made: (train, 256, 256)."""

    words: np.ndarray
    photons: np.ndarray
    ours: dict[str, np.ndarray]

    @property
    def stage(self) -> np.ndarray:
        return self.words >> 14

    @property
    def masked(self) -> np.ndarray:
        return self.photons == MASKED


def around(crop: np.ndarray, value: float, dtype: str) -> np.ndarray:
    """A whole module with the crop in its place and one value elsewhere."""
    module = np.full((*crop.shape[:-2], *JUNGFRAU.module_shape), value, dtype)
    module[CROP] = crop
    return module


@pytest.fixture(scope="module")
def whole_module(realdata, tmp_path_factory) -> dict[str, np.ndarray]:
    """The frames, corrected at the command line with PSI's pedestals and the gains behind its photons."""
    folder = tmp_path_factory.mktemp("psi")
    raw, store = folder / "raw", folder / "store"
    with h5py.File(realdata / "jungfrau_psi_crop256.h5") as file:
        words, photons, pedestal = (file[name][()] for name in ("raw", "converted", "pedestal"))
        gain = np.stack([file[f"gain_derived_by_us/{stage}"][()] for stage in JUNGFRAU.gain_stages])
    write_module(raw, 1, *split_words(around(words, PEDESTAL, "u2")))
    # A pixel is bad in the stage in which PSI masked it, in any frame.
    stage = np.minimum(words >> 14, 2)
    bad = np.stack([((photons == MASKED) & (stage == s)).any(axis=0) for s in range(3)])
    np.save(folder / "pedestal.npy", around(pedestal, PEDESTAL, "f4"))
    np.save(folder / "gain.npy", around(gain, GAIN, "f8"))
    with h5py.File(folder / "bad.h5", "w") as file:
        file["masks/bad"] = around(bad * np.uint32(BadPixels.EXPERT_CHOICE), 0, "u4")
    put_constant(folder / "pedestal.npy", "Offset10Hz", raw, 1, store=store)
    put_constant(folder / "gain.npy", "RelativeGain10Hz", raw, 1, store=store)
    put_constant(folder / "bad.h5", "BadPixelsDark10Hz", raw, 1, store=store, dataset="masks/bad")
    correct(raw, 1, folder / "proc", "--unit", "photons", "--photon-energy", ENERGY, store=store)
    return {name: array[:, 0] for name, array in images(corrected_file(folder / "proc", 1)).items()}


@pytest.fixture(scope="module")
def psi(realdata, whole_module) -> Psi:
    with h5py.File(realdata / "jungfrau_psi_crop256.h5") as file:
        ours = {name: array[CROP] for name, array in whole_module.items()}
        return Psi(file["raw"][()], file["converted"][()], ours)


def test_g0_is_what_psi_made_everywhere(psi):
    """1e-5 photon; the best possible with constants in float32 is 2.3e-6."""
    g0 = (psi.stage == 0) & ~psi.masked
    assert g0.sum() > 1_000_000
    assert np.abs(psi.ours["adc"] - psi.photons)[g0].max() < 1e-5


@pytest.mark.parametrize(("stage", "code", "samples"), [(1, 1, 2000), (2, 3, 10)])
def test_g1_and_g2_are_what_psi_made(psi, stage, code, samples):
    """Where a pixel was seen twice: the gain of one seen once was derived from that very number."""
    seen = (psi.stage == code) & ~psi.masked
    twice = seen & (seen.sum(axis=0) >= 2)
    assert twice.sum() > samples
    np.testing.assert_allclose(psi.ours["adc"][twice], psi.photons[twice], rtol=1e-5, atol=0)
    assert (psi.ours["gain"][psi.stage == code] == stage).all()


def test_masked_pixels_are_masked_and_no_others(psi):
    mask, masked = psi.ours["mask"], psi.masked
    assert masked.any()
    assert (mask[masked] & BadPixels.EXPERT_CHOICE).all()
    # Besides PSI's: words at an end of the range, stages without a gain, and wide pixels, which measure.
    reasons = BadPixels.VALUE_OUT_OF_RANGE | BadPixels.VALUE_IS_NAN | BadPixels.NON_STANDARD_SIZE
    often = np.broadcast_to((mask & BadPixels.EXPERT_CHOICE).any(axis=0), mask.shape)
    assert not (mask[~often] & ~np.uint32(reasons)).any()
    end = (psi.words & 0x3FFF == 0) | (psi.words & 0x3FFF == 0x3FFF)
    np.testing.assert_array_equal((mask & BadPixels.VALUE_OUT_OF_RANGE) != 0, end)


def test_the_rest_of_the_module_is_dark(whole_module):
    data, mask = whole_module["adc"].copy(), whole_module["mask"].copy()
    data[CROP], mask[CROP] = 0, 0
    assert not data.any()
    wide = double_size_pixels()
    wide[CROP] = False
    np.testing.assert_array_equal(
        mask, np.broadcast_to(wide * np.uint32(BadPixels.NON_STANDARD_SIZE), mask.shape)
    )


@pytest.fixture(scope="module")
def lcls(realdata, tmp_path_factory) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Words of the two events, and of the first one again with codes that do not exist; corrected with
    constants that change nothing."""
    folder = tmp_path_factory.mktemp("lcls")
    with h5py.File(realdata / "jungfrau_lcls_2events.h5") as file:
        words = file["raw"][()]
    invalid = words[0].copy()
    invalid[100, 200:300] = 0x8000 | 3000
    words = np.stack([*words, invalid])
    write_module(folder / "raw", 7, *split_words(words))
    np.save(folder / "offset.npy", np.zeros((3, *JUNGFRAU.module_shape)))
    put_constant(folder / "offset.npy", "Offset10Hz", folder / "raw", 7, store=folder / "store")
    corrected_alone(folder / "raw", 7, folder / "proc", store=folder / "store", unit="ADU")
    ours = images(corrected_file(folder / "proc", 7))
    return words, {name: array[:, 0] for name, array in ours.items()}


def test_words_of_lcls_decode(lcls):
    words, ours = lcls
    counts = [np.bincount(frame.ravel(), minlength=3).tolist() for frame in ours["gain"]]
    by_code = [np.bincount((frame >> 14).ravel(), minlength=4) for frame in words[:2]]
    assert counts[:2] == [[code[0], code[1], code[3]] for code in by_code]
    assert counts[:2] == [[523681, 151, 456], [523676, 156, 456]]  # counted when the data were taken in
    valid = words >> 14 != 2
    np.testing.assert_array_equal(ours["adc"][valid], (words & 0x3FFF)[valid])


def test_stuck_and_invalid_words_are_flagged(lcls):
    words, ours = lcls
    stuck = (words == 0xFFFF) | (words == 0xC000)
    assert [frame.sum() for frame in stuck[:2]] == [258 + 46, 258 + 54]
    assert (ours["mask"][stuck] & BadPixels.VALUE_OUT_OF_RANGE).all()
    wrong = (ours["mask"] & BadPixels.WRONG_GAIN_VALUE) != 0
    np.testing.assert_array_equal(wrong, words >> 14 == 2)
    assert wrong.sum() == 100
    assert not ours["adc"][wrong].any()
