"""The kernels against frames of real detectors, and numbers made by others from them."""

import h5py
import numpy as np
import pytest

from calibook.detectors.bad_pixels import BadPixels
from calibook.kernels.common_mode import common_mode
from calibook.kernels.gain_switching import apply_scale, correct_words
from calibook.kernels.packing import pack_constants

pytestmark = pytest.mark.realdata

ENERGY = 12.4  # keV
MASKED = 32678  # PSI's value for a masked pixel


@pytest.fixture(scope="module")
def psi(realdata):
    with h5py.File(realdata / "jungfrau_psi_crop256.h5") as file:
        derived = file["gain_derived_by_us"]
        gain = np.stack([derived[stage][:] for stage in ("G0", "G1", "G2")])
        return {name: file[name][:] for name in ("raw", "pedestal", "converted")} | {"gain": gain}


@pytest.fixture(scope="module")
def packed(psi):
    return pack_constants(psi["pedestal"][None], psi["gain"][None], photon_energy=ENERGY)


def corrected(psi, packed, **options):
    words = psi["raw"].reshape(len(psi["raw"]), -1)
    results = tuple(np.empty(words.shape, dtype) for dtype in ("f4", "u1", "u4"))
    correct_words(words, np.zeros(len(words), int), packed, *results, **options)
    return results


def test_photons_are_those_of_psi(psi, packed):
    data, gain, _ = (a.reshape(psi["raw"].shape) for a in corrected(psi, packed))
    good = psi["converted"] != MASKED

    first = good & (gain == 0)
    assert first.sum() > 1_000_000
    assert np.abs(data - psi["converted"])[first].max() < 1e-5

    for stage in (1, 2):
        # The gain of a pixel seen once was derived from this one number: it agrees trivially.
        seen = good & (gain == stage)
        twice = seen & (seen.sum(axis=0) >= 2)
        assert twice.sum() > 10
        np.testing.assert_allclose(data[twice], psi["converted"][twice], rtol=1e-5, atol=0)


def test_what_psi_masks_is_masked(psi, packed):
    """They mask samples, not pixels: those that G2 can't hold, raw 0xC000."""
    masked = (psi["converted"] == MASKED).reshape(len(psi["raw"]), -1)
    _, _, mask = corrected(psi, packed)
    out_of_range = (mask & BadPixels.VALUE_OUT_OF_RANGE) != 0
    assert masked.any() and out_of_range[masked].all()
    # We also flag the ADC at 0 in the highest gain: 30 words that are 0, of 1.3 million.
    assert out_of_range.sum() == masked.sum() + 30
    data, _, mask = corrected(psi, packed, nan_mask=int(BadPixels.VALUE_OUT_OF_RANGE))
    assert np.isnan(data[out_of_range]).all()
    # Elsewhere NaN stands where no gain could be derived, and says so.
    unknown = (mask & BadPixels.VALUE_IS_NAN) != 0
    np.testing.assert_array_equal(np.isnan(data)[~out_of_range], unknown[~out_of_range])


def test_common_mode_takes_out_the_baseline_shift(psi, packed):
    """These frames have a shift of -12 to -1 ADU of most of their dark pixels."""
    data, gain, mask = corrected(psi, packed, offset_only=True)
    frames = tuple(a.reshape(-1, 256, 256) for a in (data, gain, mask))
    dark = (frames[1] == 0) & (frames[2] == 0) & (np.abs(frames[0]) < 60)
    before = np.array([np.median(f[d]) for f, d in zip(frames[0], dark, strict=True)])
    assert before.min() < -1
    common_mode(*frames, dark_range=60)
    after = np.array([np.median(f[d]) for f, d in zip(frames[0], dark, strict=True)])
    # Photons below the gate and its asymmetry around a shifted peak leave some; 1 ADU is 0.002 photon.
    assert np.abs(after).max() < 1
    apply_scale(data, gain, mask, np.zeros(len(data), int), packed)
    assert np.abs(np.median(data[dark.reshape(data.shape)])) < 0.002


def test_two_events_of_lcls_decode(realdata):
    with h5py.File(realdata / "jungfrau_lcls_2events.h5") as file:
        words = file["raw"][:].reshape(2, -1)
    packed = pack_constants(np.zeros((1, 3, 512, 1024)))
    data, gain, mask = (np.empty(words.shape, dtype) for dtype in ("f4", "u1", "u4"))
    correct_words(words, np.zeros(2, int), packed, data, gain, mask)
    stages = [np.bincount(frame, minlength=3).tolist() for frame in gain]
    assert stages == [[523681, 151, 456], [523676, 156, 456]]
    # Words with all bits of the ADC set or none, in any gain stage: most are stuck at 0xFFFF or 0xC000.
    assert [(frame == 0xFFFF).sum() for frame in words] == [258, 258]
    assert [(frame == 0xC000).sum() for frame in words] == [46, 54]
    out_of_range = (mask & BadPixels.VALUE_OUT_OF_RANGE) != 0
    assert out_of_range[(words == 0xFFFF) | (words == 0xC000)].all()
    assert out_of_range.sum(axis=1).tolist() == [52 + 259, 60 + 259]
    assert not (mask & BadPixels.WRONG_GAIN_VALUE).any()
