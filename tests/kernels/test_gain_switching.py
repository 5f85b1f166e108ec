import platform
import re

import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types
from twins import rubbish

from calibook.detectors.bad_pixels import BadPixels
from calibook.kernels import bits, digital_lines, gain_switching
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
    """Frames and constants, a part of both adverse; or of the constants only stages that have no number."""
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames = draw(st.sampled_from([0, 1, 2, 7]))
    pixels = draw(st.sampled_from([1, 15, 64, 1000, TILE - 1, TILE, TILE + 1, 2 * TILE + 17, 2 * TILE + 304]))
    cells, scale_cells, word_cells = draw(st.sampled_from([(1, 1, 1), (3, 3, 3), (3, 1, 3), (3, 3, 1)]))
    shape = (frames, pixels)
    adc = np.where(r.random(shape) < 0.1, r.choice(ODD_ADC, shape), r.integers(0, 0x10000, shape)).astype(
        "u2"
    )
    code = r.choice(np.array([0, 0, 0, 1, 2, 3, 4, 7, 255], "u1"), shape)
    cell = r.integers(-1, cells + 1, frames)
    if frames and draw(st.booleans()):
        cell[0] = r.choice([-(2**62), -1, cells, 2**62])

    odd = draw(st.sampled_from([ODD_FLOATS, np.array([np.nan])]))

    def floats(cells):
        normal = r.normal(2000, 3000, (cells, 3, pixels))
        return np.where(r.random(normal.shape) < 0.1, r.choice(odd, normal.shape), normal).astype("f4")

    word = r.choice(
        np.array([0, 0, 0, 1, 8, 0x200000, 0x80000000, 0xFFFFFFFF], "u4"), (word_cells, 3, pixels)
    )
    packed = PackedConstants(floats(cells), floats(scale_cells), word, cells)
    nan_mask = draw(st.sampled_from([0, 1, 0x800, 0x1000, 0x200000, 0x80000000, 0xFFFFFFFF]))
    wrong_value = draw(st.sampled_from([0.0, -7.5, np.nan, np.inf]))
    return adc, code, cell, packed, nan_mask, wrong_value


def outputs(shape, past=(0, 0, 0)):
    """Filled with rubbish: kernels must overwrite all. past: bytes from a line of the cache to each."""
    return tuple(rubbish(shape, dtype, by) for dtype, by in zip(("f4", "u1", "u4"), past, strict=True))


TO_LOOP = (0, 0, 16)
"""Lines of data and mask never begin at the same pixel, so that the plain loop does all."""
places = st.sampled_from([(0, 0, 0), (16, 1, 16), (60, 63, 60), TO_LOOP])


def twin_of(adc, code, cell, packed, nan_mask, wrong_value):
    shape = (packed.cells, 3, packed.pixels)
    constants = (np.broadcast_to(a, shape) for a in (packed.offset, packed.scale, packed.mask))
    return twins.correct(adc, code, cell, *constants, nan_mask, wrong_value)


@settings(deadline=None, max_examples=80)
@given(samples(), places)
def test_planes_are_the_twin_bit_for_bit(s, past):
    adc, code, cell, packed, nan_mask, wrong_value = s
    got = outputs(adc.shape, past)
    correct_planes(adc, code, cell, packed, *got, nan_mask, wrong_value)
    for a, b in zip(got, twin_of(*s), strict=True):
        same_bits(a, b)


@settings(deadline=None, max_examples=80)
@given(samples(), places)
def test_words_are_the_twin_bit_for_bit(s, past):
    words, _, cell, packed, nan_mask, wrong_value = s
    got = outputs(words.shape, past)
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


def tame_samples(seed, frames, pixels, share_nan):
    """Frames of all codes, and constants without surprises but for stages that have no number at all."""
    r = np.random.default_rng(seed)
    shape = (frames, pixels)
    adc = np.where(r.random(shape) < 0.05, r.choice(ODD_ADC, shape), r.integers(0, 0x10000, shape))
    code = np.where(r.random(shape) < 0.8, r.integers(0, 5, shape), r.integers(0, 256, shape))
    offset, scale = r.normal(3000, 100, (2, 3, pixels)), r.normal(0.02, 0.001, (1, 3, pixels))
    for values in (offset, scale):
        values[r.random(values.shape) < share_nan] = np.nan
    word = r.choice(np.array([0, 0, 0, 1, 0x800, 0x80000000], "u4"), (2, 3, pixels))
    packed = PackedConstants(offset.astype("f4"), scale.astype("f4"), word, 2)
    return adc.astype("u2"), code.astype("u1"), r.integers(0, 2, frames), packed


@pytest.mark.parametrize("frames", [1, 4, 9])
@pytest.mark.parametrize(("share_nan", "wrong_value"), [(0, -7.5), (0.05, np.nan), (0.05, np.inf)])
@pytest.mark.parametrize("nan_mask", [0, 0x800, 0x1000, 0x200001])
@pytest.mark.parametrize("offset_only", [False, True])
@pytest.mark.parametrize(("more", "past"), [(304, (0, 0, 0)), (300, (0, 0, 0)), (304, (16, 5, 16))])
def test_constants_without_surprises_take_a_shorter_way_to_the_same_bits(
    frames, share_nan, wrong_value, nan_mask, offset_only, more, past
):
    """If lines of results are lines of memory: all of them, none, all but parts of lines at both ends."""
    adc, code, cell, packed = tame_samples(frames, frames, 2 * TILE + more, share_nan)
    options = {"nan_mask": nan_mask, "wrong_gain_value": wrong_value, "offset_only": offset_only}
    for correct, samples in ((correct_planes, (adc, code)), (correct_words, (adc,))):
        got, looped = outputs(adc.shape, past), outputs(adc.shape, TO_LOOP)
        correct(*samples, cell, packed, *got, **options)
        correct(*samples, cell, packed, *looped, **options)
        codes = code if correct is correct_planes else (adc >> 14).astype("u1")
        used = (packed.unscaled(), 0) if offset_only else (packed, nan_mask)
        data, gain, mask = twin_of(adc, codes, cell, *used, wrong_value)
        if offset_only:
            gain[~np.isin(codes, [0, 1, 3])] = digital_lines.NO_STAGE
        for a, b, c in zip(got, looped, (data, gain, mask), strict=True):
            same_bits(a, b)
            same_bits(a, c)


@pytest.mark.parametrize("surprise", [np.inf, -np.inf, 3e38])
def test_constants_with_surprises_give_their_tile_to_the_loop(surprise):
    adc, code, cell, packed = tame_samples(1, 5, 3 * TILE, 0)
    packed.offset[1, 2, TILE + 100] = packed.scale[0, 0, TILE + 7] = surprise
    got = outputs(adc.shape)
    correct_planes(adc, code, cell, packed, *got)
    for a, b in zip(got, twin_of(adc, code, cell, packed, 0, 0.0), strict=True):
        same_bits(a, b)


@pytest.mark.parametrize("pixels", [700, 704])
@pytest.mark.parametrize("shift", range(0, 64, 4))
def test_results_may_begin_anywhere_in_memory(shift, pixels):
    adc, code, cell, packed = tame_samples(shift, 3, pixels, 0)
    expected = twin_of(adc, code, cell, packed, 0, 0.0)
    buffers = [np.full(wanted.nbytes + 256, 0xA5, "u1") for wanted in expected]
    starts = [-buffer.ctypes.data % 64 + shift for buffer in buffers]
    got = [
        buffer[start : start + wanted.nbytes].view(wanted.dtype).reshape(wanted.shape)
        for buffer, start, wanted in zip(buffers, starts, expected, strict=True)
    ]
    correct_planes(adc, code, cell, packed, *got)
    for buffer, start, a, b in zip(buffers, starts, got, expected, strict=True):
        same_bits(a, b)
        assert (buffer[:start] == 0xA5).all() and (buffer[start + a.nbytes :] == 0xA5).all()


F4, U4, U2, U1, I8 = types.float32, types.uint32, types.uint16, types.uint8, types.int64


def array(kind, axes=2):
    return types.Array(kind, axes, "C")


def packed_assembly(module, function, signature):
    """Compiled anew: code that comes from the cache has no assembly to look at."""
    compiled = njit(nogil=True)(getattr(module, function).py_func)
    compiled.compile(signature)
    (assembly,) = compiled.inspect_asm().values()
    # x86: [v]mulps, arm: fmul with four lanes
    assert re.search(r"\bv?mulps\b|\bfmul\.4s|fmul\s+v\d+\.4s", assembly)
    # No value is fetched lane by lane, which costs four times as much as it looks.
    assert len(re.findall(r"\bv?insertps\b", assembly)) == 0
    return assembly


def test_scaling_does_several_pixels_per_instruction():
    line = array(F4, 1), array(U1, 1), array(U4, 1)
    packed_assembly(gain_switching, "_apply_scale_line", (*(array(F4, 1),) * 3, U4, F4, *line))


@pytest.mark.parametrize("code", [array(U1), types.none], ids=["planes", "words"])
def test_lines_do_several_pixels_per_instruction_and_stream_results(code):
    settings, results = (U4, F4, U1), (array(F4), array(U1), array(U4))
    constants = array(F4), array(F4), array(U4)
    line = (array(U2), code, I8, I8, I8, *constants, *settings, *results)
    packed_assembly(digital_lines, "line", line)
    lanes = (array(U2), code, *(I8,) * 4, array(F4, 1), *settings, *results)
    assembly = packed_assembly(digital_lines, "lanes", lanes)
    if platform.machine() == "x86_64":
        # Data and mask of two frames go past the caches.
        assert len(re.findall(r"\bv?movnt(?:ps|pd|dq)\b", assembly)) >= 4
