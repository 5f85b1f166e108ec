"""Frames of the forward model, corrected with true constants, and held against the photons that made them.

The goals are those of the project's truth loop. Tolerances: the goal, and twice
the standard error of so few frames where that is not small against it.
"""

from functools import cache

import numpy as np
import pytest

from calibook.calibration.agipd.constants import GainOptions, StageOptions, pack_agipd
from calibook.calibration.agipd.correct import (
    AgipdCorrection,
    ChipMode,
    Shifts,
    add_to_cell_sums,
    correct_agipd_frames,
    with_cell_offsets,
)
from calibook.detectors.agipd import SLOPES_PC
from calibook.kernels.cell_mode import CellSums, frames_of_rows
from calibook.simulation.agipd_exposure import AgipdExposure
from calibook.simulation.agipd_model import draw_truth
from calibook.simulation.agipd_scenes import expected_photons
from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.agipd_truth import MODULE_SHAPE
from calibook.simulation.compare import compare_photons, compare_shifts, compare_stages
from calibook.simulation.pulses import pulse_energies

CELLS, ENERGY = 4, 9.3
PIXELS = MODULE_SHAPE[0] * MODULE_SHAPE[1]
LIGHT_SHIFT = -0.01 / 7.0  # ADU per ADU of a chip's mean signal


@cache
def truth():
    return draw_truth(3, 0, CELLS)


@cache
def constants():
    """What perfect darks and scans would have found."""
    true = truth()
    offset = np.stack([true.offset(stage) for stage in range(3)], axis=1)
    level = np.stack([true.gain_level(stage) for stage in range(3)], axis=1)
    slopes = dict.fromkeys(SLOPES_PC, np.zeros((CELLS, *MODULE_SHAPE)))
    slopes |= {"high slope": 4 * true.gain(0), "medium slope": 4 * true.gain(1)}
    slopes |= {"high intercept": offset[:, 0], "medium intercept": offset[:, 1] - true.forced_error}
    bad = np.where(true.good_pixels(), 0, 1).astype("u4")
    return {
        "Offset": offset,
        "ThresholdsDark": (level[:, :2] + level[:, 1:]) / 2,
        "SlopesPC": np.stack([slopes[name] for name in SLOPES_PC], axis=1),
        "SlopesFF": true.gain(0)[:, None],
        "BadPixelsDark": np.broadcast_to(bad, (CELLS, 3, *MODULE_SHAPE)),
    }


@cache
def packed(photon_energy=ENERGY, **stages):
    none = np.zeros(MODULE_SHAPE, "u4")
    gains = GainOptions(photon_energy=photon_energy)
    return pack_agipd(constants(), none, StageOptions(**stages), gains)


@cache
def exposed(scene, intensity, trains, **options):
    """Frames of all trains one after the other: {what: array (frame, ...)}, see `agipd_exposure.Train`."""
    settings = AgipdSettings(
        run=7, seed=3, modules=(0,), trains=trains, memory_cells=CELLS, scene=scene, intensity=intensity,
        photon_energy=options.pop("photon_energy", ENERGY), **options,
    )  # fmt: skip
    light = expected_photons(settings.detector, scene, intensity, settings.double_size)[0]
    exposure, pulses = AgipdExposure(settings, 0, truth(), light), pulse_energies(settings)
    each = [exposure.train(n, np.arange(CELLS), pulses[n]) for n in range(trains)]
    names = ("planes", "charge", "stages", "pretended", "asic_shift", "baseline_shift")
    return {name: np.concatenate([getattr(train, name) for train in each]) for name in names}


def cells_of(frames):
    return np.arange(len(frames["planes"])) % CELLS


def buffers(frames):
    return [np.empty((len(frames["planes"]), PIXELS), dtype) for dtype in ("f4", "u1", "u4")]


def corrected(frames, common_mode=None, used=None, **options):
    """(data, gain, shifts), axes (frame, slow_scan, fast_scan)"""
    arrays, raw = buffers(frames), frames["planes"].reshape(-1, 2, PIXELS)
    correction = AgipdCorrection(
        packed() if used is None else used, medium_not_negative=True, common_mode=common_mode, **options
    )
    shifts = correct_agipd_frames(raw, cells_of(frames), correction, *arrays, MODULE_SHAPE)
    data, gain, _ = (array.reshape(-1, *MODULE_SHAPE) for array in arrays)
    return data, gain, shifts


def good_pixels(frames):
    adc = frames["planes"][:, 0]
    return truth().good_pixels() & ~((adc == 0) | (adc == 0x3FFF)).any(axis=0)


def biases(frames, data, gain):
    """Of photons in each stage."""

    def sums(values, stages):
        return np.stack([np.where(stages == s, values, 0).sum(axis=0, dtype="f8") for s in range(3)])

    true, measured = sums(frames["charge"] / ENERGY, frames["stages"]), sums(np.nan_to_num(data), gain)
    return list(compare_photons(true, measured, good_pixels(frames)).values())


def planted(frames):
    """What the pixels in high gain were shifted by: f4 (frame, asic)."""
    return frames["asic_shift"] + frames["baseline_shift"]


def variance_left(frames, shifts: Shifts):
    return compare_shifts(planted(frames), shifts.chips.reshape(len(shifts.chips), -1))["shift_variance_left"]


@pytest.mark.parametrize(("scene", "intensity"), [("rings", 150.0), ("adverse", 1291.0)])
def test_stages_are_right_but_for_snow(scene, intensity):
    frames = exposed(scene, intensity, 2)
    _, gain, _ = corrected(frames)
    usable = truth().good_pixels() & (frames["pretended"] == 0)
    assert compare_stages(frames["stages"], gain, usable)["wrong_stage"] < 1e-4
    if scene == "adverse":
        assert (frames["stages"] > 0).mean() > 0.29


def test_without_the_rules_snow_is_taken_for_light_and_with_them_for_what_it_is():
    """It falls on signals up to 430 keV, and those above 1000 ADU, 143 keV, can't be told from others."""
    frames = exposed("rings", 150.0, 2)
    seen = truth().good_pixels() & (frames["pretended"] > 0) & (frames["charge"] < 120)
    assert seen.sum() > 100
    _, forced, _ = corrected(frames)
    _, free, _ = corrected(frames, used=packed(high_below=None, medium_below=None))
    assert not forced[seen].any() and (free[seen] == frames["pretended"][seen]).mean() > 0.99


def test_medium_and_low_gain_are_unbiased():
    """Half and one per cent. The share of low gain that comes from a ratio for all pixels is 2 % off in
    each of them, and 2 % over the root of 6000 pixels in their mean."""
    frames = exposed("adverse", 1291.0, 2)
    data, gain, _ = corrected(frames)
    _, medium, low = biases(frames, data, gain)
    assert abs(medium) < 5e-3 and abs(low) < 1e-2
    unmoved = pack_agipd(
        constants(), np.zeros(MODULE_SHAPE, "u4"),
        gains=GainOptions(photon_energy=ENERGY, adjust_medium=False),
    )  # fmt: skip
    _, medium, _ = biases(frames, *corrected(frames, used=unmoved)[:2])
    assert abs(medium) > 5e-3  # the forced error matters, and is put right


@pytest.mark.parametrize(
    ("scene", "intensity", "tolerance"), [("flat", 0.5, 2.5e-3), ("flat", 1.0, 3e-3), ("rings", 2.0, 3e-3)]
)
def test_high_gain_is_unbiased_with_common_mode(scene, intensity, tolerance):
    """1e-3, and two standard errors of 24 frames times 16 chips, 0.03 to 0.08 ADU of 33 to 65."""
    frames = exposed(scene, intensity, 6)
    data, gain, shifts = corrected(frames, ChipMode())
    assert abs(biases(frames, data, gain)[0]) < tolerance
    assert variance_left(frames, shifts) < 0.05
    data, gain, _ = corrected(frames, ChipMode(estimator="window"))
    assert biases(frames, data, gain)[0] < -0.03  # what shared charge does to a mean over dark pixels


@pytest.mark.parametrize("intensity", [0.0, 0.1])
def test_in_the_dark_and_with_little_light_all_shifts_are_found(intensity):
    frames = exposed("flat" if intensity else "dark", intensity, 3)
    _, _, shifts = corrected(frames, ChipMode())
    assert variance_left(frames, shifts) < 2e-3


def test_the_baseline_of_a_chip_with_bright_pixels_is_found_by_its_dark_ones():
    """Shifts by 120 ADU and more."""
    frames = exposed("adverse", 1291.0, 2)
    _, _, shifts = corrected(frames, ChipMode())
    assert planted(frames).mean() < -100
    assert variance_left(frames, shifts) < 0.01
    wrong = (shifts.chips.reshape(len(shifts.chips), -1) - planted(frames)).mean()
    assert abs(wrong) < 0.3


def test_the_baseline_of_chips_without_dark_pixels_follows_the_light():
    """What is left is noise of the mean signal, which has the chip's shift in it: far below 0.1 ADU."""
    frames = exposed("rings", 150.0, 2)
    _, _, shifts = corrected(frames, ChipMode(per_light=LIGHT_SHIFT, fraction=1.0))
    wrong = shifts.chips.reshape(len(shifts.chips), -1) - frames["baseline_shift"]
    # The mean takes all stages at one ratio for all pixels, and leaves bad ones out: 5 %.
    assert np.abs(wrong).max() < 0.1 * np.abs(frames["baseline_shift"]).max()
    assert abs(wrong.mean()) < 0.05 * abs(frames["baseline_shift"].mean())


def counted(charge, seen, good):
    """(share of pixels without charge that count as a photon, share of those with a whole one that don't)"""
    empty, single = good & (charge < 0.01), good & (np.abs(charge - 1) < 0.01)
    return np.array([seen[:, good][empty[:, good]].mean(), (~seen[:, good][single[:, good]]).mean()])


def test_false_and_lost_photons_are_as_many_as_noise_makes():
    """At 6 keV, where rounding errors are so frequent that a few frames tell their number: some 2e-3 of
    800 000 empty and 200 000 lit pixels. 10 %, and two standard errors of the smaller number."""
    frames = exposed("flat", 0.2, 8, photon_energy=6.0, baseline_shift=False)
    data, _, shifts = corrected(frames, ChipMode(), packed(6.0))
    left = np.sqrt(variance_left(frames, shifts) * planted(frames).var())
    charge, good, true, cells = frames["charge"] / 6.0, truth().good_pixels(), truth(), cells_of(frames)
    noise = np.sqrt((true.noise[0] * true.cell_noise)[cells] ** 2 + 1 / 12 + left**2)
    gain = np.where(good, true.gain(0)[cells], 1) * 6.0
    again = charge + noise / gain * np.random.default_rng(5).normal(size=charge.shape)
    np.testing.assert_allclose(
        counted(charge, data >= 0.5, good), counted(charge, again >= 0.5, good), rtol=0.17
    )


def test_rows_of_memory_cells_that_have_drifted_are_put_right():
    """Pixels drift by 40 ADU, 20 % more or less: what they share is the chip's, the rest the row's."""
    frames = exposed("flat", 0.02, 12, drift=40.0)
    arrays, raw = buffers(frames), frames["planes"].reshape(-1, 2, PIXELS)
    correction = AgipdCorrection(packed(), medium_not_negative=True, common_mode=ChipMode())
    whole, parts = CellSums.zeros(CELLS, MODULE_SHAPE), CellSums.zeros(CELLS, MODULE_SHAPE)
    add_to_cell_sums(whole, raw, cells_of(frames), correction, *arrays, MODULE_SHAPE)
    for part in (slice(20, 48), slice(0, 20)):
        some, of_part = CellSums.zeros(CELLS, MODULE_SHAPE), [array[part] for array in arrays]
        add_to_cell_sums(some, raw[part], cells_of(frames)[part], correction, *of_part, MODULE_SHAPE)
        parts.merge(some)
    assert whole.total.tobytes() == parts.total.tobytes()
    moved = with_cell_offsets(packed(), whole.offsets(frames_of_rows(cells_of(frames), CELLS)))
    good = truth().good_pixels()
    before, _, _ = corrected(frames, ChipMode())
    after, _, _ = corrected(frames, ChipMode(), moved)
    charge = frames["charge"] / ENERGY
    spread = [(data - charge).mean(axis=0)[good].std() * ENERGY * 7 for data in (before, after)]
    # 20 % of 20 ADU on average; then what 8 of 48 samples that have a lit neighbour add to the noise
    assert spread[0] > 3.5 and spread[1] < 1.2
    # No light is taken for drift; two standard errors of 768 chips' shifts are 0.02 ADU of 1.3.
    assert abs((after - charge)[:, good].mean() / charge[:, good].mean()) < 0.03
