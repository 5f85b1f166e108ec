"""From raw frames back to the photons that were put in, through all steps."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from calibook.calibration.agipd import constants as agipd_constants
from calibook.calibration.agipd.constants import GainOptions, StageOptions, pack_agipd
from calibook.calibration.agipd.correct import (
    AgipdCorrection,
    ChipMode,
    cell_by_cell,
    correct_agipd_frames,
    select_frames,
)
from calibook.detectors.agipd import AGIPD, SLOPES_PC
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import NoConstants
from calibook.kernels.analogue_packing import AnalogueConstants
from calibook.kernels.baseline import noise_peak_shift

SHAPE, CELLS, ENERGY, GAIN = (128, 128), 5, 9.3, 7.0
RATIO, FORCED_ERROR = np.array([1.0, 32.0, 32 * 4.48]), np.array([0.0, 150.0, 0.0])
STATIC = np.zeros(SHAPE, "u4")


def truth():
    r = np.random.default_rng(2)
    pedestal = 4950 + r.normal(0, 250, (CELLS, 1, *SHAPE))
    offset = pedestal + np.array([0, 2000, 3000])[:, None, None]
    level = np.array([5750, 6900, 7900])[:, None, None] + r.normal(0, 100, (CELLS, 1, *SHAPE))
    gain = GAIN * r.normal(1, 0.03, (CELLS, 1, *SHAPE))
    slopes = np.zeros((CELLS, len(SLOPES_PC), *SHAPE))
    slopes[:, 0], slopes[:, 1] = gain[:, 0] * 4, offset[:, 0]
    slopes[:, 3], slopes[:, 4] = gain[:, 0] * 4 / 32, offset[:, 1] - 150
    return {
        "Offset": offset,
        "ThresholdsDark": (level[:, :2] + level[:, 1:]) / 2,
        "SlopesPC": slopes,
        "SlopesFF": gain,
        "level": level,
    }


def expose(photons, cell, noise=8.0, shift=None, seed=0):
    """Raw frames u2 (frame, 2, pixel); stages switch at 3000 ADU of high, 4000 of medium gain."""
    r, known = np.random.default_rng(seed), truth()
    high = photons * ENERGY * known["SlopesFF"][cell][:, 0]
    stage = (high > 3000).astype(int) + (high / 32 > 4000)
    pick = np.ix_(range(len(cell)), range(SHAPE[0]), range(SHAPE[1]))
    at = (cell[:, None, None], stage, pick[1], pick[2])
    signal = known["Offset"][at] - FORCED_ERROR[stage] + high / RATIO[stage] + r.normal(0, noise, high.shape)
    if shift is not None:
        signal += np.where(stage == 0, shift, 0)
    shown = known["level"][at] + r.normal(0, 40, high.shape)
    raw = np.stack([signal, shown], 1).round().clip(0, 16383).astype("u2")
    return raw.reshape(len(cell), 2, -1), stage


def corrected(raw, cell, correction):
    pixels = SHAPE[0] * SHAPE[1]
    data, gain, mask = (np.empty((len(raw), pixels), t) for t in ("f4", "u1", "u4"))
    shifts = correct_agipd_frames(raw, cell, correction, data, gain, mask, SHAPE)
    return *(a.reshape(-1, *SHAPE) for a in (data, gain, mask)), shifts


def packed(**options):
    return pack_agipd(truth(), STATIC, gains=GainOptions(photon_energy=ENERGY), **options)


CELL = np.array([0, 3, 4, 3])


@pytest.mark.parametrize(("mean", "bias"), [(5.0, 1e-3), (500.0, 5e-3), (5000.0, 1e-2)])
def test_photons_come_back_in_every_stage(mean, bias):
    photons = np.random.default_rng(1).poisson(mean, (len(CELL), *SHAPE))
    raw, stage = expose(photons, CELL)
    data, gain, mask, _ = corrected(raw, CELL, AgipdCorrection(packed()))
    # Levels are 1000 ADU apart, thresholds 14 sigma of the gain plane's noise away: no wrong stage at all.
    np.testing.assert_array_equal(gain, stage)
    assert stage.max() == {5.0: 0, 500.0: 1, 5000.0: 2}[mean] and not mask.any()
    assert data.sum(dtype="f8") / photons.sum() == pytest.approx(1, abs=bias)


def test_baseline_and_common_mode_leave_photons_and_rounding_finds_them():
    r = np.random.default_rng(5)
    photons = r.poisson(0.5, (len(CELL), *SHAPE))
    chips = r.normal(0, 8, (len(CELL), 2, 2)).astype("f4")
    baseline = np.array([-200, -20, 0, -90], "f4")
    shift = chips.repeat(64, 1).repeat(64, 2) + baseline[:, None, None]
    raw, _ = expose(photons, CELL, shift=shift)
    correction = AgipdCorrection(
        packed(), baseline=partial(noise_peak_shift), common_mode=ChipMode(), rounding_threshold=0.5
    )
    data, _, _, found = corrected(raw, CELL, correction)
    # Together they are what was planted; how it is shared between the two is free.
    together = found.baseline[:, None, None] + found.chips
    # The standard error is 0.6 ADU at half a photon per pixel.
    assert np.abs(together - chips - baseline[:, None, None]).max() < 3
    np.testing.assert_allclose(found.whole, together.mean(axis=(1, 2)), atol=1e-3)
    # 0.123 photons of noise: 5e-5 of 65536 pixels are rounded wrongly, some 3; below 12 to 5 sigma
    assert (data != photons).sum() <= 12


def test_fixed_gain_needs_no_thresholds():
    photons = np.random.default_rng(1).poisson(5, (len(CELL), *SHAPE))
    raw, _ = expose(photons, CELL)
    constants = pack_agipd(
        {k: v for k, v in truth().items() if k != "ThresholdsDark"},
        STATIC, gains=GainOptions(photon_energy=ENERGY), fixed_gain=True,
    )  # fmt: skip
    data, gain, _, _ = corrected(raw, CELL, AgipdCorrection(constants, fixed_stage=0))
    assert not gain.any() and data.mean() == pytest.approx(photons.mean(), rel=1e-3)


def test_snow_is_forced_back_or_melted():
    photons = np.full((len(CELL), *SHAPE), 2)
    raw, _ = expose(photons, CELL, noise=0)
    snow = np.random.default_rng(3).random(photons.shape).reshape(len(CELL), -1) < 0.01
    raw[:, 1][snow] = 7900
    forced = corrected(raw, CELL, AgipdCorrection(packed()))
    assert not forced[1].any()
    options = StageOptions(high_below=None, medium_below=None)
    melted = corrected(raw, CELL, AgipdCorrection(packed(stages=options), snow_below=40))
    for data, gain, *_ in (forced, melted):
        assert not gain.any() and np.abs(data - 2).max() < 0.05
    assert ((melted[2] == BadPixels.INTERPOLATED).reshape(snow.shape) == snow).all()


def test_masks_are_combined_and_chosen_by_stage():
    known = truth()
    known["BadPixelsDark"] = np.zeros((CELLS, 3, *SHAPE), "u4")
    known["BadPixelsDark"][3, 1, 0, 0] = 2
    known["BadPixelsDark"][4, 0, 64:, :16] = 1  # one ADC's pixels
    known["BadPixelsPC"] = np.zeros((CELLS, 1, *SHAPE), "u4")
    known["BadPixelsPC"][3, 0, 0, 1] = 16
    known["BadPixelsFF"] = np.full((1, 1, *SHAPE), 0, "u4")
    known["BadPixelsFF"][0, 0, 0, 2] = 256
    static = STATIC.copy()
    static[5] = 1 << 22
    photons = np.zeros((len(CELL), *SHAPE))
    photons[1, 0, 0] = 500
    raw, _ = expose(photons, CELL)
    constants = pack_agipd(known, static, noisy_adc_fraction=0.25)
    mask = corrected(raw, CELL, AgipdCorrection(constants))[2]
    assert mask[1, 0, 0] == 2 and mask[3, 0, 0] == 0  # in medium gain; in high gain
    assert mask[1, 0, 1] == 16 and (mask[:, 0, 2] == 256).all() and (mask[:, 5] == 1 << 22).all()
    assert (mask[2, 64:, :16] == 1 | BadPixels.NOISY_ADC).all() and not mask[0, 64:].any()
    data = corrected(raw, CELL, AgipdCorrection(constants, nan_bits=16))[0]
    assert np.isnan(data[1, 0, 1]) and np.isnan(data).sum() == 2


@pytest.mark.parametrize("fixed", [False, True])
def test_packing_in_parts_is_packing_at_once(monkeypatch, fixed):
    whole = pack_agipd(truth(), STATIC, fixed_gain=fixed)
    monkeypatch.setattr(agipd_constants, "_CELLS_AT_A_TIME", 2)
    parts = pack_agipd(truth(), STATIC, fixed_gain=fixed)
    assert isinstance(parts, AnalogueConstants) is not fixed
    for name in vars(whole):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_missing_constants_are_named():
    with pytest.raises(NoConstants, match="ThresholdsDark, SlopesPC, SlopesFF"):
        pack_agipd({"Offset": truth()["Offset"]}, STATIC)
    adu = GainOptions(relative=False, adjust_medium=False, xray_gain=1.0)
    assert pack_agipd({"Offset": truth()["Offset"]}, STATIC, gains=adu, fixed_gain=True).cells == CELLS


class FakeRaw(SimpleNamespace):
    """The IDs of a raw file, and what was selected of it."""

    def ids(self, key):
        return {"cellId": self.cell, "pulseId": self.cell * 4}[key]

    def select(self, keep):
        self.kept = self.cell[keep].tolist()


def raw_file(counts):
    cell = np.concatenate([np.arange(n)[::-1] for n in counts])
    return FakeRaw(cell=cell, count=np.array(counts), n_entries=len(cell), detector=AGIPD, kept=None)


def test_frames_of_one_cell_stand_together():
    raw = raw_file([3, 0, 2, 3, 1])
    parts = cell_by_cell(raw, frames=4, trains=3)
    assert [raw.cell[p].tolist() for p in parts] == [[0, 0, 1, 1], [2], [0, 0, 1, 2]]
    assert sorted(np.concatenate(parts)) == list(range(9))
    assert [p.tolist() for p in cell_by_cell(raw_file([2]), 10)] == [[1, 0]]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, None),
        ({"max_pulses": [2]}, [1, 0, 1, 0]),
        ({"max_pulses": [1, 4, 2]}, [3, 1, 1]),
        ({"lit_pulses": [4, 12]}, [3, 1, 1]),
        ({"max_pulses": [2], "lit_pulses": [4, 12]}, [1, 1]),
    ],
)
def test_pulse_selection(options, kept):
    raw = raw_file([4, 2])
    select_frames(raw, **options)
    assert raw.kept == kept
