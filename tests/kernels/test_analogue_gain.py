import platform
import re

import analogue_twins as twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types
from twins import rubbish

from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadParameter
from calibook.kernels import analogue_gain, analogue_lines, streaming
from calibook.kernels.analogue_gain import apply_scale, correct_frames
from calibook.kernels.analogue_packing import (
    NEVER,
    pack_analogue,
    pack_force_below,
    pack_signal,
    pack_thresholds,
)
from calibook.kernels.cells import TILE
from calibook.kernels.packing import PackedConstants

ODD_FLOATS = np.array([0, -0.0, 1, -1, np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 2900.37], "f4")
ODD_ADC = np.array([0, 1, 0x3FFE, 0x3FFF, 0x4000, 0x7FFF, 0xFFFF, 5900, 5901], "u2")


def same_bits(a, b):
    a, b = (x.view("u4") if x.dtype == "f4" else x for x in (a, b))
    np.testing.assert_array_equal(a, b)


def outputs(shape):
    """Buffers with rubbish in them."""
    return np.full(shape, 7, "f4"), np.full(shape, 77, "u1"), np.full(shape, 777, "u4")


def odd(r, values, share=0.1):
    return np.where(r.random(values.shape) < share, r.choice(ODD_FLOATS, values.shape), values)


@st.composite
def samples(draw):
    """(raw, cell, offset, scale, word, thresholds): a part of all adverse; samples sit at the limits."""
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames, cells = draw(st.sampled_from([0, 1, 2, 6])), draw(st.sampled_from([1, 3]))
    pixels = draw(st.sampled_from([1, 15, 64, 1000, TILE - 1, TILE + 17]))
    maps = (cells, 3, 1, pixels)
    offset = odd(r, r.normal([[[4900]], [[6900]], [[7900]]], 300, maps)).astype("f4")
    scale = odd(r, r.normal(1, 1, maps)).astype("f4")
    thresholds = odd(r, r.normal([[[5900]], [[6300]]], 300, (cells, 2, 1, pixels)))
    if draw(st.booleans()):  # samples meet their thresholds and limits exactly
        thresholds, offset = np.rint(thresholds), np.rint(offset)
    word = r.choice(np.array([0, 0, 0, 1, 8, 0x80000000, 0xFFFFFFFF], "u4"), maps)
    cell = r.integers(-1, cells + 1, frames)
    near = [np.nan_to_num(a[cell.clip(0, cells - 1)][:, 0, 0].clip(0, 0xFFFF)) for a in (offset, thresholds)]
    near[0] = near[0] + r.choice([0, 999, 1000, 1001], near[0].shape)
    adc, level = (n + r.integers(-2, 3, n.shape) for n in near)
    level = np.where(r.random(level.shape) < 0.5, r.integers(5000, 9000, level.shape), level)
    raw = np.stack([adc, level], 1).clip(0, 0xFFFF).astype("u2")
    raw = np.where(r.random(raw.shape) < 0.05, r.choice(ODD_ADC, raw.shape), raw)
    return raw, cell, offset, scale, word, thresholds


limits = st.sampled_from([None, 1000.0, 999.5, -3.0, 1e9])
rules = st.fixed_dictionaries(
    {
        "gap": st.booleans(),
        "high_below": limits,
        "medium_below": limits,
        "high_from": st.sampled_from([0, 1]),
    }
)
masks = st.sampled_from([0, 1, 0x800, 0x1000, 0x80000000, 0xFFFFFFFF])


def packed_and_expected(s, rule, nan_mask, not_negative):
    raw, cell, offset, scale, word, thresholds = s
    flat = [a.reshape(*a.shape[:2], -1) for a in (offset, scale, word, thresholds)]
    force = pack_force_below(
        offset, rule["high_below"], rule["medium_below"], ("high", "medium")[rule["high_from"]]
    )
    packed = PackedConstants(*flat[:3], cells=len(offset))
    constants = pack_analogue(packed, pack_thresholds(thresholds, rule["gap"]), force)
    known = np.clip(cell, 0, len(offset) - 1)
    stage = twins.stages(raw[:, 0], raw[:, 1], flat[3][known], flat[0][known], **rule)
    data, mask = twins.correct(raw[:, 0], stage, cell, *flat[:3], nan_mask, not_negative)
    stage[(cell < 0) | (cell >= len(offset))] = 0
    return constants, (data, stage, mask)


@settings(deadline=None, max_examples=120)
@given(samples(), rules, masks, st.booleans())
def test_the_kernel_is_the_twin_bit_for_bit(s, rule, nan_mask, not_negative):
    constants, expected = packed_and_expected(s, rule, nan_mask, not_negative)
    got = outputs(s[0].shape[::2])
    correct_frames(s[0], s[1], constants, *got, nan_mask=nan_mask, medium_not_negative=not_negative)
    for a, b in zip(got, expected, strict=True):
        same_bits(a, b)


@settings(deadline=None, max_examples=60)
@given(samples(), rules, masks, st.booleans())
def test_offset_then_scale_is_the_fused_kernel_bit_for_bit(s, rule, nan_mask, not_negative):
    constants, expected = packed_and_expected(s, rule, nan_mask, not_negative)
    got = outputs(s[0].shape[::2])
    correct_frames(s[0], s[1], constants, *got, medium_not_negative=not_negative, offset_only=True)
    apply_scale(*got, s[1], constants, nan_mask)
    for a, b in zip(got, expected, strict=True):
        same_bits(a, b)


@settings(deadline=None, max_examples=40)
@given(samples(), st.sampled_from([0, 1, 2]), masks)
def test_a_fixed_stage_is_the_twin_bit_for_bit(s, stage, nan_mask):
    raw, cell, *maps, _ = s
    maps = [a.reshape(*a.shape[:2], -1) for a in maps]
    got = outputs(raw.shape[::2])
    correct_frames(
        raw, cell, PackedConstants(*maps, len(maps[0])), *got, nan_mask=nan_mask, fixed_stage=stage
    )
    stages = np.full(raw.shape[::2], stage, "u1")
    data, mask = twins.correct(raw[:, 0], stages, cell, *maps, nan_mask)
    for a, b in zip(got, (data, stages, mask), strict=True):
        same_bits(a, b)


OFFSET, SCALE = (5000.0, 7000.0, 8000.0), (1.0, 32.0, 143.36)


def one_pixel(adc, level, thresholds=(5900.0, 6500.0), word=0, offset=OFFSET, scale=SCALE, **options):
    def of(values, dtype="f4"):
        return np.array(values, dtype).reshape(1, -1, 1, 1)

    names = ("high_below", "medium_below", "high_from")
    force = pack_force_below(of(offset), **{k: options.pop(k) for k in names if k in options})
    packed = PackedConstants(of(offset)[..., 0], of(scale)[..., 0], of([word] * 3, "u4")[..., 0], 1)
    constants = pack_analogue(packed, pack_thresholds(of(thresholds), options.pop("gap", False)), force)
    data, gain, mask = outputs((1, 1))
    raw = np.array([[[adc], [level]]], "u2")
    correct_frames(raw, [options.pop("cell", 0)], constants, data, gain, mask, **options)
    return float(data[0, 0]), int(gain[0, 0]), BadPixels(int(mask[0, 0]))


@pytest.mark.parametrize(
    ("adc", "level", "options", "expected"),
    [
        (5100, 5900, {}, (100, 0, 0)),  # at the threshold: still high
        (8000, 5901, {}, (32000, 1, 0)),
        (9000, 6501, {}, (143360, 2, 0)),
        (8000, 5900, {"thresholds": (5899.999, 6500)}, (32000, 1, 0)),
        (9000, 6000, {"thresholds": (6100, 5950)}, (143360, 2, 0)),  # the second threshold wins
        (5999, 6000, {"high_below": 1000}, (999, 0, 0)),
        (6000, 6000, {"high_below": 1000}, (-32000, 1, 0)),  # exactly at the limit: not forced
        (6000, 6000, {"high_below": 1000, "medium_not_negative": True}, (0, 1, 0)),
        (7999, 7000, {"medium_below": 1000}, (31968, 1, 0)),
        (8000, 7000, {"medium_below": 1000}, (0, 2, 0)),
        (5100, 7000, {"medium_below": 1000, "high_below": 1000}, (100, 0, 0)),  # down both steps
        (5100, 7000, {"medium_below": 1000}, (-1900 * 32, 1, 0)),
        (7500, 6000, {"high_below": 1000, "high_from": "medium"}, (2500, 0, 0)),
        (8000, 6600, {"thresholds": (6300, 6500), "gap": True}, (32000, 1, 0)),  # 6500 < 1.05 * 6300
        (9000, 6700, {"thresholds": (6000, 6500), "gap": True}, (143360, 2, 0)),
        (5100, 0xFFFF, {"thresholds": (np.nan, np.nan)}, (100, 0, 0)),
        (0, 5000, {}, (-5000, 0, BadPixels.VALUE_OUT_OF_RANGE)),
        (0x3FFF, 6000, {}, ((0x3FFF - 7000) * 32, 1, BadPixels.VALUE_OUT_OF_RANGE)),
        (8000, 6000, {"scale": (1, 1e5, 1)}, (1e8, 1, BadPixels.VALUE_OUT_OF_RANGE)),
        (5100, 5000, {"word": 3}, (100, 0, BadPixels(3))),
    ],
)
def test_a_sample_worked_out_by_hand(adc, level, options, expected):
    assert one_pixel(adc, level, **options) == expected


def test_nan_on_purpose_is_not_a_nan_by_accident():
    data, _, mask = one_pixel(5100, 5000, word=1, nan_mask=1)
    assert np.isnan(data) and mask == BadPixels.OFFSET_OUT_OF_THRESHOLD
    data, stage, mask = one_pixel(5100, 6000, offset=(5000, np.nan, 8000), high_below=10, medium_below=10)
    assert np.isnan(data) and stage == 1 and mask == BadPixels.VALUE_IS_NAN


@pytest.mark.parametrize("cell", [-1, 1, 352, 2**62])
def test_frame_of_a_cell_without_constants(cell):
    data, gain, mask = one_pixel(8000, 6000, cell=cell)
    assert np.isnan(data) and gain == 0 and mask == BadPixels.NO_DARK_DATA


def test_order_of_frames_does_not_matter():
    r = np.random.default_rng(1)
    raw, cell = r.integers(0, 0x4000, (40, 2, 600), dtype="u2"), r.integers(0, 16, 40)
    packed = PackedConstants(
        *(r.normal(size=(16, 3, 600)).astype("f4") for _ in range(2)), np.zeros((1, 3, 600), "u4"), 16
    )
    constants = pack_analogue(packed, r.integers(0, 0x4000, (16, 2, 600)).astype("u2"))
    straight, shuffled = outputs((40, 600)), outputs((40, 600))
    correct_frames(raw, cell, constants, *straight)
    order = r.permutation(40)
    correct_frames(raw[order], cell[order], constants, *shuffled)
    for a, b in zip(straight, shuffled, strict=True):
        same_bits(a[order], b)


def maps(values, cells=2):
    return np.broadcast_to(np.asarray(values, "f8").reshape(1, -1, 1, 1), (cells, len(values), 2, 4)).copy()


def test_a_signal_goes_through_all_stages_unbiased():
    """Photons through offset, gain, forced-switch error and back: the same to float32's accuracy."""
    photons, energy, per_kev = np.array([30.0, 900.0, 9000.0]), 9.3, 7.0
    slope = per_kev / np.array([1, 32, 32 * 4.48])
    dark, forced_error = maps(OFFSET), 150.0
    adc = np.array(OFFSET) - [0, forced_error, 0] + photons * energy * slope
    packed = pack_signal(dark, maps(slope[0] / slope), per_kev, energy, None, maps([forced_error]))
    got = (np.float32(adc)[:, None] - packed.offset[0]) * packed.scale[0]
    # Float32 has 24 bits; the offset's share in the signal costs a few of them.
    np.testing.assert_allclose(got[[0, 1, 2], [0, 1, 2]], photons, rtol=1e-5)


def test_a_gain_that_is_no_number_gives_nan():
    relative = maps([1.0, 32.0, 0.0])
    relative[0, 1, 0, 0] = np.nan
    xray = np.full((1, 1, 2, 4), 7.0)
    xray[0, 0, 1, 3] = 0
    scale = pack_signal(maps(OFFSET), relative, xray).scale.reshape(2, 3, 2, 4)
    assert np.isnan(scale[:, 2]).all() and np.isnan(scale[0, 1, 0, 0]) and np.isnan(scale[:, :, 1, 3]).all()
    assert np.isfinite(scale[:, :2]).sum() == 2 * 2 * 7 - 1


def test_packing_refuses_what_does_not_fit():
    packed = pack_signal(maps(OFFSET))
    with pytest.raises(ValueError, match="2 memory cells, thresholds 3"):
        pack_analogue(packed, np.zeros((3, 2, 8), "u2"))
    with pytest.raises(ValueError, match=r"thresholds has shape \(2, 1, 2, 4\)"):
        pack_thresholds(maps([1]))
    with pytest.raises(BadParameter, match="high_from"):
        pack_force_below(maps(OFFSET), 1000, high_from="low")
    with pytest.raises(BadParameter, match="photon_energy"):
        pack_signal(maps(OFFSET), photon_energy=0)
    with pytest.raises(ValueError, match="no thresholds"):
        correct_frames(np.zeros((1, 2, 8), "u2"), [0], packed, *outputs((1, 8)))
    with pytest.raises(ValueError, match=r"raw has shape \(1, 1, 8\)"):
        correct_frames(np.zeros((1, 1, 8), "u2"), [0], packed, *outputs((1, 8)))
    with pytest.raises(ValueError, match="gain stage 3"):
        correct_frames(np.zeros((1, 2, 8), "u2"), [0], packed, *outputs((1, 8)), fixed_stage=3)


def test_thresholds_keep_their_meaning_as_whole_numbers():
    values = np.array([-3.0, 0.0, 5900.0, 5900.5, 65535.0, 1e9, np.nan, np.inf, -np.inf])
    packed = pack_thresholds(np.stack([values, values])[None, :, None])[0, 0]
    assert packed.tolist() == [0, 0, 5900, 5900, NEVER, NEVER, NEVER, NEVER, 0]


def assembly_of(module, function, signature):
    """Compiled anew: code that comes from the cache has no assembly to look at."""
    compiled = njit(nogil=True)(getattr(module, function).py_func)
    compiled.compile(signature)
    return next(iter(compiled.inspect_asm().values()))


def array(dtype, axes=1):
    return types.Array(dtype, axes, "C")


U1, U2, U4, I4, I8, F4 = (
    types.uint8, types.uint16, types.uint32, types.int32, types.int64, types.float32,
)  # fmt: skip


@pytest.mark.parametrize("line", ["_correct_fixed_line", "_apply_scale_line"])
def test_the_inner_loops_do_several_pixels_per_instruction(line):
    end = (U4, F4, array(F4), array(U1), array(U4))
    signatures = {
        "_correct_fixed_line": (array(U2), U1, array(F4), array(F4), array(U4), *end),
        "_apply_scale_line": (array(F4), array(F4), array(F4), *end),
    }
    assert_packed(assembly_of(analogue_gain, line, signatures[line]), products=1)


@pytest.mark.parametrize("line", ["loop", "lanes"])
def test_the_lines_of_two_frames_do_several_pixels_per_instruction(line):
    frames, shifts = (array(U2, 3), *(I8,) * 4), (array(F4, 2), U4)
    rows = (array(I4, 2), array(F4, 2), array(U4, 2))
    near, results = (array(F4), array(U1), array(U4)), (array(F4, 2), array(U1, 2), array(U4, 2))
    signatures = {
        "loop": (*frames, I8, *rows, F4, U4, *shifts, F4, *near),
        "lanes": (*frames, array(I4), types.boolean, F4, U4, *shifts, *results),
    }
    assert_packed(assembly_of(analogue_lines, line, signatures[line]), products=2)


def test_results_are_streamed_past_the_caches():
    frames, shifts = (array(U2, 3), *(I8,) * 4), (array(F4, 2), U4)
    results = (array(F4, 2), array(U1, 2), array(U4, 2))
    signatures = {
        "stream": (streaming, (array(F4), types.uint64, array(F4, 2), I8, I8, I8)),
        "lanes": (analogue_lines, (*frames, array(I4), types.boolean, F4, U4, *shifts, *results)),
    }
    for function, (module, signature) in signatures.items():
        assembly = assembly_of(module, function, signature)
        if platform.machine() == "x86_64":
            assert "movntps" in assembly, function


def assert_packed(assembly, products):
    # x86: [v]mulps, arm: fmul with four lanes
    packed = re.findall(r"\bv?mulps\b|\bfmul\.4s|fmul\s+v\d+\.4s", assembly)
    assert len(packed) >= products
    # No value is fetched lane by lane, which costs four times as much as it looks; no word has 8 bytes.
    assert len(re.findall(r"\bv?insertps\b|\bv?pcmpeqq\b", assembly)) == 0


def tame_samples(seed, frames, pixels, cells, share_nan):
    """Frames and constants without surprises, but for stages that have no number at all."""
    r = np.random.default_rng(seed)
    raw = r.integers(4000, 12000, (frames, 2, pixels), dtype=np.uint16)
    raw[:, 1] = r.integers(5500, 8500, (frames, pixels))
    raw[r.random(raw.shape) < 0.01] = 0
    raw[:, 0][r.random((frames, pixels)) < 0.01] = 0xFFFF
    maps = (cells, 3, 1, pixels)
    offset = r.normal(5000, 100, maps).astype("f4")
    scale = r.normal(1, 0.1, maps).astype("f4") * np.array([1, 45, 250], "f4").reshape(1, 3, 1, 1)
    for values in (offset, scale):
        values[r.random(maps) < share_nan] = np.nan
    word = r.choice(np.array([0, 0, 0, 1, 0x20000, 0x80000000], "u4"), maps)
    thresholds = r.normal([[[6000]], [[8000]]], 100, (cells, 2, 1, pixels))
    return raw, np.arange(frames) % cells, offset, scale, word, thresholds


@pytest.mark.parametrize("share_nan", [0, 0.05])
@pytest.mark.parametrize("ruled", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("nan_mask", [0, 0x1000, 0x20000])
@pytest.mark.parametrize(("more", "past"), [(304, 0), (300, 0), (304, 16)])
def test_constants_without_surprises_take_a_shorter_way_to_the_same_bits(
    share_nan, ruled, frames, nan_mask, more, past
):
    """If lines of results are lines of memory: all of them, none, all but parts of lines at both ends."""
    rule = {"gap": False, "high_below": None, "medium_below": None, "high_from": 0}
    rule |= {"high_below": 1000.0, "medium_below": 1000.0} if ruled else {}
    s = tame_samples(frames, frames, 2 * TILE + more, 2, share_nan)
    constants, expected = packed_and_expected(s, rule, nan_mask, ruled)
    got = [rubbish(s[0].shape[::2], dtype, past) for dtype in ("f4", "u1", "u4")]
    correct_frames(s[0], s[1], constants, *got, nan_mask=nan_mask, medium_not_negative=ruled)
    for a, b in zip(got, expected, strict=True):
        same_bits(a, b)


@pytest.mark.parametrize("pixels", [700, 704])
@pytest.mark.parametrize("shift", range(0, 64, 4))
def test_results_may_begin_anywhere_in_memory(shift, pixels):
    s = tame_samples(shift, 3, pixels, 1, 0)
    rule = {"gap": False, "high_below": None, "medium_below": None, "high_from": 0}
    constants, expected = packed_and_expected(s, rule, 0, False)
    buffers = [np.full(3 * pixels * 4 + 256, 0xA5, "u1") for _ in expected]
    got = []
    for buffer, wanted in zip(buffers, expected, strict=True):
        start = -buffer.ctypes.data % 64 + shift
        got.append(buffer[start : start + wanted.nbytes].view(wanted.dtype).reshape(wanted.shape))
    correct_frames(s[0], s[1], constants, *got)
    for buffer, a, b in zip(buffers, got, expected, strict=True):
        same_bits(a, b)
        start = a.ctypes.data - buffer.ctypes.data
        assert (buffer[:start] == 0xA5).all() and (buffer[start + a.nbytes :] == 0xA5).all()
