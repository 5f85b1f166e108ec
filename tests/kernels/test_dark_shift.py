"""Shifts are found in raw frames as in corrected ones, and taken out on the way to the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import rubbish

from calibook.errors import BadParameter
from calibook.kernels import bits
from calibook.kernels.analogue_gain import apply_scale, correct_frames
from calibook.kernels.analogue_packing import pack_analogue, pack_force_below, pack_signal, pack_thresholds
from calibook.kernels.dark_peak import DarkPeak
from calibook.kernels.dark_shift import dark_peak_shift, raw_dark_peak_shift, shift_of_lanes

SHAPE, BLOCK = (96, 64), (32, 32)
ODD = np.array([np.nan, np.inf, -np.inf, 0, 1e9, -5000, 16383], "f4")


def frames_and_constants(r, cells, share_odd, rules, shape=SHAPE):
    """(raw, cell, constants): signals near the dark level, some switched, each frame with a shift."""
    maps = (cells, 3, *shape)
    levels = np.array([4200, 5300, 5600], "f4").reshape(1, 3, 1, 1)
    offset = (levels + r.normal(0, 100, maps)).astype("f4")
    gain = np.abs(r.normal(1, 0.1, maps)).astype("f4")
    for values in (offset, gain):
        values[r.random(maps) < share_odd] = r.choice(ODD)
    bad = np.where(r.random(maps) < 0.02, r.choice([1, 0x8, 0x20000], maps), 0).astype("u4")
    thresholds = r.normal([[[[6000]], [[8000]]]], 100, (cells, 2, *shape))
    thresholds[r.random(thresholds.shape) < share_odd] = np.nan
    constants = pack_analogue(
        pack_signal(offset, gain, bad_pixels=bad),
        pack_thresholds(thresholds),
        pack_force_below(offset, 300.0, 200.0) if rules else None,
    )
    n = int(r.integers(1, 6))
    cell = r.integers(-1, cells + 1, n)
    raw = np.empty((n, 2, shape[0] * shape[1]), "u2")
    raw[:, 1] = r.choice([5000, 7200, 9000], raw[:, 1].shape, p=[0.9, 0.06, 0.04])
    dark = np.nan_to_num(offset[np.clip(cell, 0, cells - 1), 0].reshape(n, -1), posinf=0, neginf=0)
    light = r.choice([0.0, 60.0], dark.shape, p=[0.8, 0.2]) + np.where(raw[:, 1] > 6000, 1000, 0)
    raw[:, 0] = np.clip(
        np.rint(dark + r.normal(0, 8, dark.shape) + r.normal(0, 30, (n, 1)) + light), 0, 0xFFFF
    )
    raw[:, 0][r.random(dark.shape) < 0.01] = r.choice([0, 0x3FFE, 0x3FFF, 0xFFFF])
    return raw, cell, constants


def corrected(raw, cell, constants, past=0, **options):
    results = [rubbish(raw.shape[::2], dtype, past) for dtype in ("f4", "u1", "u4")]
    correct_frames(raw, cell, constants, *results, **options)
    return results


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32), st.sampled_from([1, 3]), st.sampled_from([0, 0.02]), st.booleans(),
    st.sampled_from([0, 0x20000]), st.booleans(), st.sampled_from([int(bits.ALL), 0x9]),
)  # fmt: skip
def test_one_pass_is_three_bit_for_bit(seed, cells, share_odd, rules, nan_mask, not_negative, excluded):
    raw, cell, constants = frames_and_constants(np.random.default_rng(seed), cells, share_odd, rules)
    peak = DarkPeak(8.0, 0.05, 1000.0, np.inf)
    expected = corrected(raw, cell, constants, medium_not_negative=not_negative, offset_only=True)
    shift = dark_peak_shift(*(a.reshape(-1, *SHAPE) for a in expected), BLOCK, peak, excluded)
    apply_scale(*expected, cell, constants, nan_mask)

    found = raw_dark_peak_shift(raw, cell, constants, SHAPE, BLOCK, peak, excluded)
    np.testing.assert_array_equal(found, shift)
    options = {"nan_mask": nan_mask, "medium_not_negative": not_negative}
    lanes = shift_of_lanes(found, SHAPE)
    for past in (0, 16):  # lines of results are lines of memory, or not
        found = corrected(raw, cell, constants, past, shift=lanes, excluded=excluded, **options)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


def test_planted_shifts_are_found_and_are_gone():
    raw, cell, constants = frames_and_constants(np.random.default_rng(5), 1, 0, False)
    cell[:] = 0
    planted = np.random.default_rng(6).normal(0, 20, (len(raw), 3, 2)).round()
    raw[:, 0] = raw[:, 0] + shift_of_lanes(planted.astype("f4"), SHAPE).repeat(8, axis=1)
    before = raw_dark_peak_shift(raw, cell, constants, SHAPE, BLOCK)
    raw[:, 0] = raw[:, 0] - shift_of_lanes(before, SHAPE).repeat(8, axis=1).round()
    # What is left was rounded; noise and what light remains add a little.
    assert np.abs(before).max() > 5
    assert np.abs(raw_dark_peak_shift(raw, cell, constants, SHAPE, BLOCK)).max() < 1.5


def test_shifts_of_lanes_lie_where_their_blocks_are():
    lanes = shift_of_lanes(np.arange(6, dtype="f4").reshape(1, 3, 2), SHAPE)
    image = lanes.repeat(8, axis=1).reshape(SHAPE)
    assert (
        image[0, 31] == 0
        and image[0, 32] == 1
        and image[31, 0] == 0
        and image[32, 0] == 2
        and image[95, 63] == 5
    )


def test_what_does_not_fit_is_refused():
    raw, cell, constants = frames_and_constants(np.random.default_rng(1), 1, 0, False)
    with pytest.raises(BadParameter, match="12 pixels wide"):
        raw_dark_peak_shift(raw, cell, constants, (96, 64), (32, 12))
    with pytest.raises(BadParameter, match="needs some that tile"):
        raw_dark_peak_shift(raw, cell, constants, (96, 64), (36, 32))
    with pytest.raises(ValueError, match="don't fit"):
        raw_dark_peak_shift(raw, cell, constants, (64, 64), BLOCK)
    with pytest.raises(ValueError, match="a stage is fixed"):
        corrected(raw, cell, constants, fixed_stage=1, shift=np.zeros((len(raw), 96 * 8), "f4"))
