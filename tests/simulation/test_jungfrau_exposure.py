"""The forward model against what its formulas say."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.detectors.jungfrau import ADC_MAX, GAIN_CODES, INVALID_CODE
from calibook.simulation import jungfrau_kernels as kernels
from calibook.simulation.compare import comparable_pixels, compare_darks, compare_photons
from calibook.simulation.jungfrau_exposure import INVALID_CODE_RATE, ModuleExposure
from calibook.simulation.jungfrau_model import DetectorModel, draw_model
from calibook.simulation.jungfrau_scenes import expected_photons
from calibook.simulation.jungfrau_truth import MODULE_SHAPE, PixelKind, no_photons

ENERGY = 9.3
CELL, PULSE = np.zeros(1, int), np.ones(1)


@pytest.fixture(scope="module")
def model() -> DetectorModel:
    return draw_model(3, 1, 1)


def exposure(model: DetectorModel, expected: np.ndarray, **changes) -> ModuleExposure:
    settings = {
        "seed": 3,
        "run": 1,
        "module": 1,
        "photon_energy": ENERGY,
        "gain_mode": "dynamic",
        "common_mode": True,
    }
    return ModuleExposure(model, expected, **(settings | changes))


@pytest.fixture(scope="module")
def dark() -> np.ndarray:
    return np.zeros(MODULE_SHAPE, "f4")


def characterise(model: DetectorModel, dark: np.ndarray, trains: int) -> tuple[np.ndarray, ...]:
    """Offset, noise and bad pixels of three dark runs, as simply as can be."""
    offset, noise, bad = [], [], []
    for run, (mode, code) in enumerate(
        zip(("dynamic", "forceswitchg1", "forceswitchg2"), GAIN_CODES, strict=True)
    ):
        source = exposure(model, dark, run=run, gain_mode=mode)
        count, total, squares = np.zeros((3, *MODULE_SHAPE))
        for index in range(trains):
            adc, codes, _ = source.train(index, CELL, PULSE)
            right, value = codes[0] == code, adc[0].astype("f8")
            count += right
            total += value * right
            squares += value**2 * right
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            offset.append(mean)
            noise.append(np.sqrt((squares - count * mean**2) / (count - 1)))
        bad.append(count < 0.9 * trains)
        for values in (mean, noise[-1]):
            distance = np.abs(values - np.nanmedian(values))
            bad[-1] |= distance > 5 * 1.4826 * np.nanmedian(distance)
    return np.array([offset]), np.array([noise]), np.array([bad])


def test_darks_have_the_true_offset_noise_and_bad_pixels(model, dark):
    trains = 20
    offset, noise, bad = characterise(model, dark, trains)
    figures = compare_darks(model.truth, offset, noise, bad)
    # Five standard errors. G0: shifts of 32 ADCs and 8 ASICs; else noise of 5e5 pixels, rounded truth.
    shift = np.sqrt(1.5**2 / 32 + 0.7**2 / 8) / np.sqrt(trains)
    assert abs(figures["offset_bias_adu_G0"]) < 5 * shift
    assert abs(figures["offset_bias_adu_G1"]) < 0.005
    assert abs(figures["offset_bias_adu_G2"]) < 0.005
    # The median of the standard deviations of n + 1 samples is below the true one: by
    # Wilson and Hilferty, (1 - 2 / 9n)^(3/2). 0.5 % for common mode, which pixels share.
    n = trains - 1
    for stage in ("G0", "G1", "G2"):
        assert figures[f"noise_ratio_{stage}"] == pytest.approx((1 - 2 / (9 * n)) ** 1.5, abs=0.005)
    assert figures["bad_pixel_precision"] > 0.99
    assert figures["bad_pixel_recall"] == 1
    # Pixel by pixel, in G1 and G2: the mean of n samples scatters by noise / sqrt(n).
    good = model.truth.bad[0, 1:] == 0
    difference = (offset[0, 1:] - model.truth.offset[0, 1:])[good]
    pull = difference / (np.broadcast_to(model.truth.noise[1:], good.shape)[good] / np.sqrt(trains))
    assert pull.std() == pytest.approx(1, abs=0.01)


def test_photons_come_back_in_every_stage(model):
    truth, sums, measured = model.truth, no_photons(), np.zeros((3, *MODULE_SHAPE))
    source = exposure(model, expected_photons("rings", 1, 150.0)[0])
    for index in range(6):
        adc, code, photons = source.train(index, CELL, PULSE)
        kernels.accumulate(photons[0], adc[0], code[0], sums.frames, sums.photons, sums.saturated)
        for stage, stage_code in enumerate(GAIN_CODES):
            kev = (adc[0] - truth.offset[0, stage]) / truth.gain[0, stage]
            measured[stage] += np.where(code[0] == stage_code, kev / ENERGY, 0)
    good = comparable_pixels(truth, sums)
    assert good.mean() > 0.995
    assert (sums.frames[:, good].mean(axis=1) > 0.1).all()
    # Largest share of it: common mode of 6 frames, 0.15 ADU of 3000 ADU in G0.
    for bias in compare_photons(sums.photons, measured, good).values():
        assert abs(bias) < 3e-4


def test_stage_follows_from_the_true_charge_alone(model):
    source = exposure(model, expected_photons("rings", 1, 150.0)[0])
    adc, code, photons = source.train(0, CELL, PULSE)
    charge = photons[0] * ENERGY
    stage = (charge > model.switch[0]).astype(int) + (charge > model.switch[1])
    good = (model.truth.kinds == PixelKind.GOOD) & (code[0] != INVALID_CODE)
    np.testing.assert_array_equal(code[0][good], np.array(GAIN_CODES)[stage][good])
    assert code.dtype == "u1" and adc.dtype == "u2" and adc.max() <= ADC_MAX


def test_poisson_and_fano(model):
    source = exposure(model, np.full(MODULE_SHAPE, 20.0), common_mode=False)
    adc, code, photons = source.train(0, CELL, PULSE)
    chosen = (model.truth.kinds == PixelKind.GOOD) & (code[0] == 0) & (adc[0] < 14000)
    k = photons[0][model.truth.kinds == PixelKind.GOOD]
    # Five standard errors of mean and variance of 5e5 Poisson numbers.
    assert k.mean() == pytest.approx(20, abs=5 * np.sqrt(20 / 5e5))
    assert k.var() == pytest.approx(20, rel=5 * np.sqrt(2.05 / 5e5))
    k = photons[0][chosen]
    gain = model.truth.gain[0, 0][chosen]
    residual = adc[0][chosen] - model.truth.offset[0, 0][chosen] - gain * k * ENERGY
    fano = gain**2 * k * ENERGY * 0.115 * 3.62e-3
    variance = model.electronic_noise[0][chosen] ** 2 + fano + 1 / 12
    assert (residual**2 / variance).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / 5e5))
    # Noise alone would not do.
    assert fano.mean() > 0.5 * (variance - fano).mean()


@pytest.mark.parametrize(
    ("mode", "code"), [("dynamic", 0), ("forceswitchg1", 1), ("forceswitchg2", 3), ("fixg1", 1), ("fixg2", 3)]
)
def test_codes_of_the_gain_modes_in_the_dark(model, dark, mode, code):
    kinds = model.truth.kinds
    codes = exposure(model, dark, gain_mode=mode).train(0, CELL, PULSE)[1][0]
    expected = np.full(MODULE_SHAPE, code)
    expected[kinds == PixelKind.STAYS_IN_G0] = 0
    expected[kinds == PixelKind.STAYS_IN_G1] = min(code, 1)
    expected[kinds == PixelKind.WRONG_CODE] = INVALID_CODE if code else 0
    # Besides, single samples get an invalid code: 0.5 in a frame.
    assert np.count_nonzero(codes != expected) < 8
    assert (codes[codes != expected] == INVALID_CODE).all()


def test_fixed_gain_does_not_switch_and_forced_does(model):
    bright = np.full(MODULE_SHAPE, 3000.0)
    assert (exposure(model, bright, gain_mode="fixg1").train(0, CELL, PULSE)[1] < 2).mean() > 0.999
    assert (exposure(model, bright, gain_mode="forceswitchg1").train(0, CELL, PULSE)[1] == 3).mean() > 0.99


def test_invalid_codes_come_at_their_rate(model, dark):
    cells = np.zeros(32, int)
    codes = exposure(model, dark).train(0, cells, np.ones(32))[1]
    expected = INVALID_CODE_RATE * codes.size
    assert abs(np.count_nonzero(codes == INVALID_CODE) - expected) < 5 * np.sqrt(expected)


def test_stuck_and_cold_pixels_ignore_light(model):
    adc, _, photons = exposure(model, np.full(MODULE_SHAPE, 20.0)).train(0, CELL, PULSE)
    kinds = model.truth.kinds
    assert (adc[0][kinds == PixelKind.STUCK_LOW] == 0).all()
    assert (adc[0][kinds == PixelKind.STUCK_HIGH] == ADC_MAX).all()
    assert not photons[0][kinds == PixelKind.COLD].any()
    assert np.abs(adc[0][kinds == PixelKind.COLD] - 500.0).max() < 100


def test_a_train_does_not_depend_on_others(model):
    scene = expected_photons("rings", 1, 100.0)[0]
    source = exposure(model, scene)
    trains = [source.train(index, CELL, PULSE) for index in range(3)]
    alone = exposure(model, scene).train(2, CELL, PULSE)
    for array, other, previous in zip(alone, trains[2], trains[1], strict=True):
        np.testing.assert_array_equal(array, other)
        assert (array != previous).any()
    for change in ({"run": 2}, {"module": 2}, {"seed": 4}):
        assert (exposure(model, scene, **change).train(2, CELL, PULSE)[0] != alone[0]).mean() > 0.9


def test_common_mode_moves_an_adc_as_a_whole(model, dark):
    def block_means(common_mode: bool) -> np.ndarray:
        adc = exposure(model, dark, common_mode=common_mode).train(0, np.zeros(16, int), np.ones(16))[0]
        deviation = adc.astype("f4") - adc.mean(axis=0)
        return deviation.reshape(16, 2, 256, 16, 64).mean(axis=(2, 4))

    # 12 ADU over sqrt(256 * 64) pixels without; shifts of 1.5 and 0.7 ADU with common mode.
    assert block_means(False).std() == pytest.approx(12 / 128, rel=0.2)
    assert block_means(True).std() == pytest.approx(np.hypot(1.5, 0.7), rel=0.2)
