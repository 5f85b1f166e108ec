import re

import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types

from calibook.detectors.bad_pixels import BadPixels
from calibook.kernels import bits, gain_switching
from calibook.kernels.cells import TILE
from calibook.kernels.gain_switching import apply_scale, correct_planes, correct_words
from calibook.kernels.packing import PackedConstants

ODD_FLOATS = np.array([0, -0.0, 1, -1, np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 2900.37], "f4")
ODD_ADC = np.array([0, 1, 0x3FFE, 0x3FFF, 0x4000, 0x7FFF, 0xC000, 0xFFFF, 2900], "u2")


def same_bits(a, b):
    np.testing.assert_array_equal(
        a.view("u4") if a.dtype == "f4" else a, b.view("u4") if b.dtype == "f4" else b
    )


@st.composite
def samples(draw):
    """Frames and constants, a part of both adverse."""
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames = draw(st.sampled_from([0, 1, 2, 7]))
    pixels = draw(st.sampled_from([1, 15, 64, 1000, TILE - 1, TILE, TILE + 1, 2 * TILE + 17]))
    cells, scale_cells, word_cells = draw(st.sampled_from([(1, 1, 1), (3, 3, 3), (3, 1, 3), (3, 3, 1)]))
    shape = (frames, pixels)
    adc = np.where(r.random(shape) < 0.1, r.choice(ODD_ADC, shape), r.integers(0, 0x10000, shape)).astype(
        "u2"
    )
    code = r.choice(np.array([0, 0, 0, 1, 2, 3, 4, 7, 255], "u1"), shape)
    cell = r.integers(-1, cells + 1, frames)
    if frames and draw(st.booleans()):
        cell[0] = r.choice([-(2**62), -1, cells, 2**62])

    def floats(cells):
        normal = r.normal(2000, 3000, (cells, 3, pixels))
        return np.where(r.random(normal.shape) < 0.1, r.choice(ODD_FLOATS, normal.shape), normal).astype("f4")

    word = r.choice(
        np.array([0, 0, 0, 1, 8, 0x200000, 0x80000000, 0xFFFFFFFF], "u4"), (word_cells, 3, pixels)
    )
    packed = PackedConstants(floats(cells), floats(scale_cells), word, cells)
    nan_mask = draw(st.sampled_from([0, 1, 0x800, 0x1000, 0x200000, 0x80000000, 0xFFFFFFFF]))
    wrong_value = draw(st.sampled_from([0.0, -7.5, np.nan, np.inf]))
    return adc, code, cell, packed, nan_mask, wrong_value


def outputs(shape):
    """Filled with rubbish: kernels must overwrite all."""
    return np.full(shape, 123, "f4"), np.full(shape, 77, "u1"), np.full(shape, 0xDEADBEEF, "u4")


def twin_of(adc, code, cell, packed, nan_mask, wrong_value):
    shape = (packed.cells, 3, packed.pixels)
    constants = (np.broadcast_to(a, shape) for a in (packed.offset, packed.scale, packed.mask))
    return twins.correct(adc, code, cell, *constants, nan_mask, wrong_value)


@settings(deadline=None, max_examples=60)
@given(samples())
def test_planes_are_the_twin_bit_for_bit(s):
    adc, code, cell, packed, nan_mask, wrong_value = s
    got = outputs(adc.shape)
    correct_planes(adc, code, cell, packed, *got, nan_mask, wrong_value)
    for a, b in zip(got, twin_of(*s), strict=True):
        same_bits(a, b)


@settings(deadline=None, max_examples=60)
@given(samples())
def test_words_are_the_twin_bit_for_bit(s):
    words, _, cell, packed, nan_mask, wrong_value = s
    got = outputs(words.shape)
    correct_words(words, cell, packed, *got, nan_mask, wrong_value)
    code = (words >> 14).astype("u1")
    for a, b in zip(got, twin_of(words, code, cell, packed, nan_mask, wrong_value), strict=True):
        same_bits(a, b)


@settings(deadline=None, max_examples=60)
@given(samples())
def test_offset_then_scale_is_the_fused_kernel_bit_for_bit(s):
    adc, code, cell, packed, nan_mask, wrong_value = s
    fused, two_steps = outputs(adc.shape), outputs(adc.shape)
    correct_planes(adc, code, cell, packed, *fused, nan_mask, wrong_value)
    correct_planes(adc, code, cell, packed, *two_steps, nan_mask, wrong_value, offset_only=True)
    apply_scale(*two_steps, cell, packed, nan_mask, wrong_value)
    for a, b in zip(two_steps, fused, strict=True):
        same_bits(a, b)


def one_pixel(adc, code, word=0, offset=(100.0, 14000.0, 14500.0), scale=(0.5, -1.0, -2.0), **options):
    constants = (
        np.array(a, t).reshape(1, 3, 1) for a, t in ((offset, "f4"), (scale, "f4"), ([word] * 3, "u4"))
    )
    data, gain, mask = outputs((1, 1))
    packed = PackedConstants(*constants, cells=1)
    correct_planes(
        np.array([[adc]], "u2"),
        np.array([[code]], "u1"),
        [options.pop("cell", 0)],
        packed,
        data,
        gain,
        mask,
        **options,
    )
    return float(data[0, 0]), int(gain[0, 0]), BadPixels(int(mask[0, 0]))


@pytest.mark.parametrize(
    ("adc", "code", "expected"),
    [
        (300, 0, (100.0, 0, 0)),
        (13000, 1, (1000.0, 1, 0)),
        (14000, 3, (1000.0, 2, 0)),
        (14000, 2, (0.0, 2, BadPixels.WRONG_GAIN_VALUE)),
        (14000, 4, (0.0, 2, BadPixels.WRONG_GAIN_VALUE)),
        (0, 0, (-50.0, 0, BadPixels.VALUE_OUT_OF_RANGE)),
        (0x3FFF, 0, (8141.5, 0, BadPixels.VALUE_OUT_OF_RANGE)),
        (0xC000 + 300, 0, (100.0, 0, 0)),
    ],
)
def test_a_sample_worked_out_by_hand(adc, code, expected):
    assert one_pixel(adc, code) == expected


def test_nan_on_purpose_is_not_a_nan_by_accident():
    data, _, mask = one_pixel(300, 0, word=1, nan_mask=1)
    assert np.isnan(data) and mask == BadPixels.OFFSET_OUT_OF_THRESHOLD
    data, _, mask = one_pixel(300, 0, scale=(np.nan,) * 3)
    assert np.isnan(data) and mask == BadPixels.VALUE_IS_NAN


@pytest.mark.parametrize("cell", [-1, 1, 255, 2**62])
def test_frame_of_a_cell_without_constants(cell):
    data, gain, mask = one_pixel(300, 3, cell=cell)
    assert np.isnan(data) and gain == 2 and mask == BadPixels.NO_DARK_DATA


def test_order_of_frames_does_not_matter():
    r = np.random.default_rng(1)
    adc, code = r.integers(0, 0x4000, (40, 600)).astype("u2"), r.choice(np.array([0, 1, 3], "u1"), (40, 600))
    cell = r.integers(0, 16, 40)
    packed = PackedConstants(
        *(r.normal(size=(16, 3, 600)).astype("f4") for _ in range(2)), np.zeros((1, 3, 600), "u4"), 16
    )
    straight, shuffled = outputs(adc.shape), outputs(adc.shape)
    correct_planes(adc, code, cell, packed, *straight)
    order = r.permutation(40)
    correct_planes(adc[order], code[order], cell[order], packed, *shuffled)
    for a, b in zip(straight, shuffled, strict=True):
        same_bits(a[order], b)


def test_bits_are_the_facility_s():
    for name in ("NO_DARK_DATA", "VALUE_IS_NAN", "VALUE_OUT_OF_RANGE", "WRONG_GAIN_VALUE"):
        assert int(getattr(bits, name)) == BadPixels[name]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"adc": np.zeros((2, 8), "i4")}, "adc has dtype int32, needs uint16"),
        ({"adc": np.zeros((2, 9), "u2")}, r"adc has shape \(2, 9\), needs \(2, 8\)"),
        ({"data": np.zeros((3, 8), "f4")}, r"data has shape \(3, 8\)"),
        ({"mask": np.zeros((8, 2), "u4").T}, "mask is not C-contiguous"),
        ({"cell": np.zeros(3, int)}, r"cell has shape \(3,\), needs \(2,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, complaint):
    data, gain, mask = outputs((2, 8))
    ones = np.ones((1, 3, 8), "f4")
    arguments = {
        "adc": np.zeros((2, 8), "u2"), "code": np.zeros((2, 8), "u1"), "cell": np.zeros(2, int),
        "packed": PackedConstants(ones, ones, ones.astype("u4"), 1), "data": data, "gain": gain, "mask": mask,
    }  # fmt: skip
    with pytest.raises(ValueError, match=complaint):
        correct_planes(**{**arguments, **change})


@pytest.mark.parametrize("line", ["_correct_planes_line", "_correct_words_line", "_apply_scale_line"])
def test_the_inner_loops_do_several_pixels_per_instruction(line):
    """Compiled anew: code that comes from the cache has no assembly to look at."""
    f4, u4, u2, u1 = (
        types.Array(t, 1, "C") for t in (types.float32, types.uint32, types.uint16, types.uint8)
    )
    settings = (types.uint32, types.float32)
    constants = (f4,) * 6 + (u4,) * 3 + settings + (types.uint8,)
    signatures = {
        "_correct_planes_line": (u2, u1, *constants, f4, u1, u4),
        "_correct_words_line": (u2, *constants, f4, u1, u4),
        "_apply_scale_line": (f4, f4, f4, *settings, f4, u1, u4),
    }
    compiled = njit(nogil=True)(getattr(gain_switching, line).py_func)
    compiled.compile(signatures[line])
    (assembly,) = compiled.inspect_asm().values()
    # x86: [v]mulps, arm: fmul with four lanes
    assert re.search(r"\bv?mulps\b|\bfmul\.4s|fmul\s+v\d+\.4s", assembly)
    # No value is fetched lane by lane, which costs four times as much as it looks.
    assert len(re.findall(r"\bv?insertps\b", assembly)) == 0
