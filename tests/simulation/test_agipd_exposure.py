"""The forward model of AGIPD against what its formulas say."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.simulation.agipd_exposure import AgipdExposure, Train
from calibook.simulation.agipd_model import GAIN_NOISE_ADU, SNOW_RATES, SNOW_SHARE, draw_truth
from calibook.simulation.agipd_scenes import expected_photons
from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.agipd_sums import PhotonCounter
from calibook.simulation.agipd_truth import (
    HOOK_ADU,
    MODULE_SHAPE,
    STUCK,
    AgipdPhotons,
    PixelKind,
    asic_maps,
)
from calibook.simulation.compare import comparable_pixels, compare_darks, compare_photons

CELLS, ENERGY, MODULE = 4, 9.3, 3
ALL = np.arange(CELLS)
FLAT, DARK = np.ones(MODULE_SHAPE, "f4"), np.zeros(MODULE_SHAPE, "f4")
STAGES = ("high", "medium", "low")


def settings(**changes) -> AgipdSettings:
    usual = {"run": 1, "trains": 100, "seed": 3, "scene": "dark", "memory_cells": CELLS}
    return AgipdSettings(**(usual | changes))


@pytest.fixture(scope="module")
def truth():
    return draw_truth(3, MODULE, CELLS)


@pytest.fixture(scope="module")
def good(truth):
    return truth.kinds == PixelKind.GOOD


@pytest.fixture(scope="module")
def adverse():
    return expected_photons(settings().detector, "adverse", 709.0, True)[MODULE]


def expose(truth, expected, position=1, cells=ALL, pulse=1.0, **changes) -> Train:
    exposure = AgipdExposure(settings(**changes), MODULE, truth, expected)
    return exposure.train(position, cells, np.full(CELLS, pulse))


@pytest.fixture(scope="module")
def darks(truth):
    """Mean and standard deviation of both planes in three dark runs: (gain, plane, cell, ss, fs)."""
    trains, mean, std = 24, [], []
    for run, mode in enumerate(("adaptive", "forced-medium", "forced-low")):
        exposure = AgipdExposure(settings(run=run, gain_mode=mode), MODULE, truth, DARK)
        total, squares = np.zeros((2, 2, CELLS, *MODULE_SHAPE))
        for position in range(trains):
            planes = exposure.train(position, ALL, np.ones(CELLS)).planes.swapaxes(0, 1).astype("f8")
            total += planes
            squares += planes**2
        mean.append(total / trains)
        std.append(np.sqrt(np.maximum(squares - trains * mean[-1] ** 2, 0) / (trains - 1)))
    return trains, np.array(mean), np.array(std)


def test_darks_have_the_true_offset_noise_and_bad_pixels(truth, darks, good):
    trains, mean, std = darks
    offset, noise = mean[:, 0].swapaxes(0, 1), std[:, 0].swapaxes(0, 1)
    levels = mean[:, 1]
    bad = np.zeros(offset.shape, bool)
    for values, sigmas in ((offset, 6), (noise, 7)):
        middle = np.median(values, axis=(2, 3), keepdims=True)
        distance = np.abs(values - middle)
        bad |= distance > sigmas * 1.4826 * np.median(distance, axis=(2, 3), keepdims=True)
    bad |= (levels[1] - levels[0] < 500)[:, None]
    figures = compare_darks(truth, offset, noise, bad, STAGES)
    # Common mode moves the mean: 15 live ASICs with 4 cells, whose rows move as one.
    shift = np.sqrt((8**2 / CELLS + 4**2) / 15 / trains)
    n = trains - 1
    for stage in STAGES:
        assert abs(figures[f"offset_bias_adu_{stage}"]) < 5 * shift
        # Median of standard deviations of n + 1 samples (Wilson and Hilferty); 3 % for what pixels share.
        assert figures[f"noise_ratio_{stage}"] == pytest.approx((1 - 2 / (9 * n)) ** 1.5, abs=0.03)
    # The standard deviation of 24 samples is known to 15 % only.
    assert figures["bad_pixel_precision"] > 0.98
    assert figures["bad_pixel_recall"] > 0.995
    for stage in range(3):
        difference = (levels[stage] - truth.gain_level(stage))[:, good]
        assert abs(difference.mean()) < 5 * GAIN_NOISE_ADU / np.sqrt(trains * difference.size)
        assert np.sqrt((std[stage, 1][:, good] ** 2).mean()) == pytest.approx(GAIN_NOISE_ADU, rel=2e-3)


def test_photons_come_back_in_every_stage(truth, adverse):
    counter, measured = PhotonCounter(ENERGY, 0), np.zeros((3, *MODULE_SHAPE))
    exposure = AgipdExposure(settings(scene="adverse"), MODULE, truth, adverse)
    slopes = np.stack([truth.gain(stage) for stage in range(3)], axis=1)
    for position in range(6):
        train = exposure.train(position, ALL, np.ones(CELLS))
        counter.add(train, ALL, ALL, np.ones(CELLS), np.zeros(CELLS, bool))
        shift = asic_maps(train.asic_shift), asic_maps(train.baseline_shift)
        for stage in range(3):
            value = train.planes[:, 0] - truth.offset(stage) - shift[0]
            value += truth.forced_error * (stage == 1) - shift[1] * (stage == 0)
            usual = (train.stages == stage) & (slopes[:, stage] > 0)
            photons = np.divide(value, slopes[:, stage] * ENERGY, out=np.zeros(value.shape), where=usual)
            measured[stage] += photons.sum(axis=0)
    sums = counter.truth()
    usable = comparable_pixels(truth, sums)
    assert usable.mean() > 0.9
    assert (sums.frames[:, usable].mean(axis=1) > 24 * 0.05).all()
    figures = compare_photons(sums.photons, measured, usable, STAGES)
    # Noise of 8 ADU over 24 frames and the pixels of the stage: 0.12, 4 and 18 photons each.
    for stage, (name, noise) in enumerate(zip(STAGES, (0.13, 4, 18), strict=True)):
        frames, photons = sums.frames[stage, usable].sum(), sums.photons[stage, usable].sum()
        assert abs(figures[f"photon_bias_{name}"]) < 5 * noise * np.sqrt(frames) / photons


def test_adverse_scene_switches_a_third_of_the_pixels(truth, adverse, good):
    train = expose(truth, adverse, scene="adverse")
    shares = [(train.stages == stage)[:, good].mean() for stage in range(3)]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    # Rows whose pixels are twice as wide collect twice as much.
    ratio = adverse[63] / (adverse[62] + 1e-9)
    assert np.median(ratio) == pytest.approx(2, rel=1e-3)


def test_stage_follows_from_the_true_charge_alone(truth, adverse, good):
    train = expose(truth, adverse, scene="adverse", snow=False)
    stage = (train.charge > truth.switch[0]).astype(int) + (train.charge > truth.switch[1])
    np.testing.assert_array_equal(train.stages, stage)
    thresholds = [(truth.gain_level(s) + truth.gain_level(s + 1)) / 2 for s in (0, 1)]
    seen = (train.planes[:, 1] > thresholds[0]).astype(int) + (train.planes[:, 1] > thresholds[1])
    # Thresholds are 12 sigma from the levels.
    np.testing.assert_array_equal(seen[:, good], stage[:, good])


def test_noise_of_the_signal_has_fano_statistics_in_it(truth, good):
    train = expose(truth, 35 * FLAT, scene="flat", common_mode=False, baseline_shift=False)
    usable = good & (train.stages == 0).all(axis=0)
    residual = train.planes[:, 0] - truth.offset(0) - truth.gain(0) * train.charge
    electronic = (truth.noise[0] * truth.cell_noise) ** 2 + 1 / 12
    fano = truth.gain(0) ** 2 * train.charge * 0.115 * 3.62e-3
    pull = (residual**2 / (electronic + fano))[:, usable]
    assert pull.mean() == pytest.approx(1, abs=5 * np.sqrt(2 / pull.size))
    assert fano[:, usable].mean() > 0.05 * electronic[:, usable].mean()


def test_snow_falls_at_its_rate_and_leaves_the_signal(truth, good):
    lit = {"scene": "flat", "common_mode": False, "baseline_shift": False}
    train = expose(truth, 0.1 * FLAT, **lit)
    clear = expose(truth, 0.1 * FLAT, **lit, snow=False)
    snowy = train.pretended > 0
    assert (snowy.any(axis=0) <= (truth.snow[0] > 0)).all()
    for stage, rate in ((1, SNOW_RATES[0]), (2, SNOW_RATES[1])):
        expected = rate * SNOW_SHARE * train.pretended[:, good].size
        assert abs((train.pretended[:, good] == stage).sum() - expected) < 6 * np.sqrt(expected)
        here = train.pretended == stage
        difference = (train.planes[:, 1] - truth.gain_level(stage))[here]
        assert abs(difference.mean()) < 5 * GAIN_NOISE_ADU / np.sqrt(here.sum())
    assert not clear.pretended.any()
    residual = (train.planes[:, 0] - truth.offset(0) - truth.gain(0) * train.charge)[snowy]
    assert residual.std() == pytest.approx(8, rel=0.1)
    assert not expose(truth, DARK).pretended.any()


def test_planted_shifts_are_those_of_the_asics(truth, good):
    train = expose(truth, 20 * FLAT, scene="flat")
    assert train.asic_shift.std() == pytest.approx(np.hypot(8, 4), rel=0.3)
    # 20 photons of 9.3 keV lower the baseline by 0.01 ADU per keV; not those of a dead ADC block.
    live = good.reshape(8, 64, 2, 64).mean(axis=(1, 3)).ravel() > 0.9
    assert live.sum() == 15
    assert train.baseline_shift[:, live].mean() == pytest.approx(-0.01 * 20 * 9.3, rel=0.01)
    residual = train.planes[:, 0] - truth.offset(0) - truth.gain(0) * train.charge
    blocks = np.where(good, residual, np.nan).reshape(CELLS, 8, 64, 2, 64)
    measured = np.nanmean(blocks, axis=(2, 4)).reshape(CELLS, 16)
    planted = train.asic_shift + train.baseline_shift
    # Noise of 9 ADU over at least 3000 pixels.
    assert np.abs(measured - planted).max() < 5 * 9 / np.sqrt(3000)


def test_no_shifts_on_request(truth):
    train = expose(truth, FLAT, scene="flat", common_mode=False, baseline_shift=False)
    assert not train.asic_shift.any() and not train.baseline_shift.any()


def test_the_baseline_goes_down_no_further_than_its_limit(truth):
    assert expose(truth, 1e4 * FLAT, scene="flat").baseline_shift.min() == -300


def test_drift_grows_with_the_trains_and_differs_by_pixel(truth, good):
    first, last = (expose(truth, DARK, position, drift=50.0, trains=11) for position in (0, 10))
    assert (first.drift, last.drift) == (0, 50)
    residual = (last.planes[:, 0] - truth.offset(0) - asic_maps(last.asic_shift)).mean(axis=0)
    slope = np.polyfit(truth.drift[good], residual[good], 1)[0]
    assert slope == pytest.approx(50, rel=0.02)


def test_forced_pedestals_lie_above_those_of_real_switching(truth, good):
    bright = 200 * FLAT
    lit = {"scene": "flat", "common_mode": False}
    real = expose(truth, bright, **lit)
    forced = expose(truth, bright, **lit, gain_mode="forced-medium")
    both = (real.stages == 1) & (forced.stages == 1) & good
    difference = np.where(both, forced.planes[:, 0].astype("f8") - real.planes[:, 0], 0).sum() / both.sum()
    assert both.mean() > 0.8
    assert difference == pytest.approx(truth.forced_error[good].mean(), abs=0.1)


@pytest.mark.parametrize(
    ("mode", "stage"),
    [("adaptive", 0), ("forced-medium", 1), ("forced-low", 2), ("fixed-medium", 1), ("fixed-low", 2)],
)
def test_stages_of_the_gain_modes_in_the_dark(truth, mode, stage):
    stages = expose(truth, DARK, gain_mode=mode).stages
    expected = np.where(np.isinf(truth.switch[0]), 0, stage)
    np.testing.assert_array_equal(stages, np.broadcast_to(expected, stages.shape))


def test_fixed_gain_does_not_switch(truth, good):
    stages = expose(truth, 3000 * FLAT, scene="flat", gain_mode="fixed-high").stages
    assert (stages == 0).all()
    assert (expose(truth, 3000 * FLAT, scene="flat").stages[:, good] == 2).mean() > 0.99


def test_dead_and_cold_pixels_ignore_light():
    truth = draw_truth(3, 1, CELLS)
    train = expose(truth, 20 * FLAT, scene="flat")
    for kind, value in STUCK.items():
        here = truth.kinds == kind
        assert here.any() and (train.planes[:, :, here] == value).all()
    cold = truth.kinds == PixelKind.COLD
    residual = train.planes[:, 0] - truth.offset(0) - asic_maps(train.asic_shift + train.baseline_shift)
    assert np.abs(residual[:, cold]).max() < 6 * 13


def test_a_frame_depends_on_nothing_but_its_place(truth):
    lit = {"scene": "flat"}
    exposure = AgipdExposure(settings(**lit), MODULE, truth, FLAT)
    trains = [exposure.train(position, ALL, np.ones(CELLS)) for position in range(3)]
    alone = expose(truth, FLAT, 2, **lit)
    some = expose(truth, FLAT, 2, cells=np.array([1, 3]), **lit)
    for name in ("planes", "photons", "charge", "stages", "pretended", "asic_shift", "baseline_shift"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(trains[2], name))
        np.testing.assert_array_equal(getattr(some, name), getattr(alone, name)[[1, 3]])
    assert (alone.planes != trains[1].planes).mean() > 0.9
    for change in ({"run": 2}, {"seed": 4}):
        assert (expose(truth, FLAT, 2, **lit, **change).planes != alone.planes).mean() > 0.9


def test_light_does_not_change_the_noise(truth, good):
    quiet = {"common_mode": False, "baseline_shift": False, "snow": False}
    dark = expose(truth, DARK, **quiet)
    lit = expose(truth, 0.05 * FLAT, scene="flat", **quiet)
    unlit = (lit.charge == 0) & good
    assert unlit.mean() > 0.7
    np.testing.assert_array_equal(lit.planes[:, 0][unlit], dark.planes[:, 0][unlit])


def test_scan_of_the_pulsed_capacitor_has_two_lines(truth, good):
    """Slopes of the lines, their meeting, and rows that are not pulsed."""
    steps = np.r_[10:74:4, 400:600:10]
    scan = {"scan_row": 2, "trains": 600, "common_mode": False}
    exposure = AgipdExposure(settings(**scan), MODULE, truth, DARK)
    trains = [exposure.train(int(step), ALL[:1], np.ones(CELLS)) for step in steps]
    signal = np.array([train.planes[0, 0] for train in trains]) - truth.offset(0)[0]
    stages = np.array([train.stages[0] for train in trains])
    pulsed = np.zeros(MODULE_SHAPE, bool)
    pulsed[2::8] = True
    assert not stages[:, ~pulsed].any()
    assert np.abs(signal[:, ~pulsed & good]).max() < 7 * 13
    here = pulsed & good
    assert (stages[:16, here] == 0).all() and (stages[16:, here] == 1).all()
    high = np.polyfit(steps[:16], signal[:16, here], 1)
    medium = np.polyfit(steps[16:], signal[16:, here], 1)
    per_pulse = truth.gain(0)[0] * truth.pulser
    assert (high[0] / per_pulse[here]).mean() == pytest.approx(1, abs=2e-3)
    expected = truth.pedestal[1] - truth.pedestal[0] - truth.forced_error
    # The hook, 60 ADU at the switch, is over by then: exp(-1600 / 120 + 4).
    assert (medium[1] - expected[here]).mean() == pytest.approx(0, abs=1)
    ratio = (high[0] / medium[0]).mean() / (truth.slope[0, here] / truth.slope[1, here]).mean()
    assert ratio == pytest.approx(1, abs=5e-3)
    after = exposure.train(165, ALL[:1], np.ones(CELLS))
    line = expected + truth.gain(1)[0] * 165 * truth.pulser
    hook = (after.planes[0, 0] - truth.offset(0)[0] - line)[here]
    decay = np.exp((truth.switch[0, here] - 165 * truth.pulser[here]) / 120)
    assert hook.mean() == pytest.approx(HOOK_ADU * decay.mean(), abs=0.5)
    amplitude, length = (values[here] for values in truth.hook(np.full(MODULE_SHAPE, 150)))
    np.testing.assert_allclose(amplitude * np.exp(-15 / length), HOOK_ADU * decay, rtol=1e-5)


def test_sums_and_first_frames(truth, good, adverse):
    counter = PhotonCounter(ENERGY, 6)
    exposure = AgipdExposure(settings(scene="adverse"), MODULE, truth, adverse)
    lost = np.array([False, True, False, False])
    trains = [exposure.train(position, ALL, np.ones(CELLS)) for position in range(2)]
    counter.add(trains[0], ALL, ALL + 100, np.ones(CELLS), np.zeros(CELLS, bool))
    counter.add(trains[1], ALL, ALL + 200, np.ones(CELLS), lost)
    found: AgipdPhotons = counter.truth()
    stages = np.concatenate([trains[0].stages, trains[1].stages[~lost]])
    charge = np.concatenate([trains[0].charge, trains[1].charge[~lost]]).astype("f8") / ENERGY
    for stage in range(3):
        np.testing.assert_array_equal(found.frames[stage], (stages == stage).sum(axis=0))
        expected = np.where(stages == stage, charge, 0).sum(axis=0)
        np.testing.assert_allclose(found.photons[stage], expected, rtol=1e-9)
    assert found.lost.tolist() == [0] * 5 + [1, 0, 0]
    assert found.train_id.tolist() == [100, 101, 102, 103, 200, 201, 202, 203]
    np.testing.assert_array_equal(found.asic_shift[4:], trains[1].asic_shift)
    assert found.first_stage.shape == (6, *MODULE_SHAPE)
    np.testing.assert_array_equal(found.first_stage[4:], trains[1].stages[:2])
    np.testing.assert_array_equal(found.first_photons[:4], trains[0].photons)
