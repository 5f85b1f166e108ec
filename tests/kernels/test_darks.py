import re

import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, types

from calibook.kernels import bisection, darks
from calibook.kernels.bisection import medians
from calibook.kernels.cells import TILE
from calibook.kernels.dark_steps import FRAMES, PIXELS
from calibook.kernels.darks import MOST_FRAMES, DarkSums

NAMES = ("count", "total", "squares", "saturated", "wrong")


@st.composite
def dark_frames(draw, pixel_choices=(1, 17, 600)):
    """(adc, code, cell, cells): some pixels jump, saturate, or have wrong codes."""
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames, pixels = draw(st.sampled_from([0, 1, 2, 9, 30, 50])), draw(st.sampled_from(pixel_choices))
    cells = draw(st.sampled_from([1, 3]))
    adc = r.normal(2900, r.choice([0.4, 12, 3000]), (frames, pixels)).clip(0, 0x3FFF)
    adc = np.where(r.random(adc.shape) < 0.05, r.integers(0, 0x10000, adc.shape), adc).astype("u2")
    code = np.where(r.random(adc.shape) < draw(st.sampled_from([0, 0.001, 0.1, 0.9])), 2, 1).astype("u1")
    return adc, code, r.integers(-1, cells + 1, frames), cells


def summed(adc, code, cell, cells):
    sums = DarkSums.zeros(cells, adc.shape[1])
    sums.accumulate(adc, code, cell, 1)
    return sums


@settings(deadline=None, max_examples=40)
@given(dark_frames((1, 17, TILE + 3)))
def test_sums_are_the_twin(frames):
    adc, code, cell, cells = frames
    sums = summed(*frames)
    for name, expected in twins.dark_sums(adc, code, cell, 1, cells).items():
        assert (getattr(sums, name).astype(object) == expected).all(), name


@pytest.mark.parametrize(("value", "code"), [(0, 1), (0x3FFF, 1), (0xC000, 1), (2900, 0), (0, 0)])
def test_one_odd_sample_among_many_is_counted_where_it_is(value, code):
    """At any place of what is summed at a time: 0xC000 is 0, with bits that are ignored."""
    frames, pixels = FRAMES + 1, 2 * PIXELS + 1
    for n, p in np.ndindex(frames, pixels):
        adc, codes = np.full((frames, pixels), 2900, "u2"), np.ones((frames, pixels), "u1")
        adc[n, p], codes[n, p] = value, code
        sums = summed(adc, codes, np.zeros(frames, int), 1)
        odd = np.arange(pixels) == p
        assert (sums.count == frames - odd * (code != 1)).all() and (sums.wrong == odd * (code != 1)).all()
        assert (sums.saturated == odd * (code == 1)).all()
        assert (sums.total == 2900 * (frames - odd) + odd * (code == 1) * (value & 0x3FFF)).all()


def test_sums_of_the_largest_samples_do_not_overflow():
    adc, codes = np.full((40, 2 * PIXELS), 0xFFFF, "u2"), np.ones((40, 2 * PIXELS), "u1")
    sums = summed(adc, codes, np.zeros(40, int), 1)
    assert (sums.total == 40 * 0x3FFF).all() and (sums.squares == 40 * 0x3FFF**2).all()


@settings(deadline=None, max_examples=40)
@given(dark_frames(), st.integers(0, 30))
def test_parts_in_any_order_add_up_to_the_whole(frames, cut):
    adc, code, cell, cells = frames
    whole = summed(*frames)
    first, second = (summed(adc[s], code[s], cell[s], cells) for s in (slice(cut), slice(cut, None)))
    for merged in (first.merge(second), second.merge(first)):
        for name in NAMES:
            np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


@settings(deadline=None, max_examples=25)
@given(dark_frames((1, 17)))
def test_mean_and_std_are_numpys(frames):
    adc, code, cell, cells = frames
    mean, std = summed(*frames).mean_and_std()
    # NumPy's f8 sums of deviations round: a few units in the last place of f8.
    expected = twins.of_expected(np.mean, adc, code, cell, 1, cells)
    np.testing.assert_allclose(mean, expected, rtol=1e-15)
    expected = twins.of_expected(np.std, adc, code, cell, 1, cells)
    np.testing.assert_allclose(std, expected, rtol=1e-14, atol=1e-11)


def test_std_stays_exact_with_as_many_frames_as_allowed():
    """Half at 0, half at the top: the largest variance there is; then one sample off."""
    top, half = 0x3FFF, MOST_FRAMES // 2
    n = 2 * half
    one = np.array([[1]], "u8")
    for total, squares in ((half * top, half * top**2), (n * top - 1, n * top**2 - 2 * top + 1)):
        count = np.array([[n]], "u4")
        sums = DarkSums(count, one * np.uint64(total), one * np.uint64(squares), count, count)
        mean, std = sums.mean_and_std()
        assert mean[0, 0] == total / n
        assert std[0, 0] == np.sqrt(float(n * squares - total**2)) / n


def test_more_frames_than_allowed_are_refused():
    sums = DarkSums.zeros(1, 1)
    sums.count[:] = MOST_FRAMES + 1
    with pytest.raises(ValueError, match="exact up to"):
        sums.mean_and_std()


def test_frames_of_unknown_cells_are_told():
    zeros = np.zeros((3, 4), "u2")
    assert DarkSums.zeros(2, 4).accumulate(zeros, zeros.astype("u1"), np.array([0, 2, -1]), 0) == 2


@settings(deadline=None, max_examples=60)
@given(dark_frames())
def test_median_is_numpys_for_even_and_odd(frames):
    adc, code, cell, cells = frames
    np.testing.assert_array_equal(
        medians(adc, code, cell, 1, cells), twins.of_expected(np.median, adc, code, cell, 1, cells)
    )


EDGES = [[127, 128], [0, 16383], [5], [128, 128, 127, 127], [0, 0, 16383, 16383], [0] * 9, [16383] * 8]


@pytest.mark.parametrize("values", EDGES)
def test_median_of_few_samples_and_at_the_ends_of_the_range(values):
    adc = np.array(values, "u2")[:, None]
    frames = adc, np.ones(adc.shape, "u1"), np.zeros(len(adc), int), 1
    assert medians(*frames, 1) == np.median(values)


@pytest.mark.parametrize(("frames", "pixels"), [(2 * bisection.MOST_COUNTED + 5, 3), (1000, 300)])
def test_median_of_many_frames_and_of_several_tiles(frames, pixels):
    """More frames than are counted in 16 bits; more samples than a tile has, the last tile not full."""
    adc = np.random.default_rng(1).integers(0, 0x4000, (frames, pixels), dtype="u2")
    code, cell = np.ones(adc.shape, "u1"), np.zeros(len(adc), int)
    np.testing.assert_array_equal(medians(adc, code, cell, 1, 1)[0], np.median(adc, axis=0))


@pytest.mark.parametrize(
    ("kernel", "signature"),
    [
        (darks._sum_line, "u2,u1,expected,u8,u8"),
        (darks._count_line, "u2,u1,expected,u4,u4,u4"),
        (darks._add_packed, "u8,start,stop,expected,u4,u8,u8,u4,u4"),
        (bisection._count_some, "frames,start,stop,i2,i2"),
    ],
)
def test_the_inner_loops_do_several_pixels_per_instruction(kernel, signature):
    """Compiled anew: code that comes from the cache has no assembly to look at."""
    known = {
        "u1": types.Array(types.uint8, 1, "C"), "u2": types.Array(types.uint16, 1, "C"),
        "u4": types.Array(types.uint32, 1, "C"), "u8": types.Array(types.uint64, 1, "C"),
        "i2": types.Array(types.int16, 1, "C"),
        "frames": types.Array(types.int16, 2, "C"), "start": types.int64, "stop": types.int64,
        "expected": types.uint8,
    }  # fmt: skip
    compiled = njit(nogil=True)(kernel.py_func)
    compiled.compile(tuple(known[name] for name in signature.split(",")))
    (assembly,) = compiled.inspect_asm().values()
    # Products or comparisons of several samples. x86: pmaddwd, pcmpgtw; arm: mul, mla, cmge, cmgt.
    x86 = r"\bv?p(maddwd|mulld|muludq|madd52luq|cmpgtw|cmpn?eq[bwd])\b"
    assert re.search(x86 + r"|\b(mul|mla|umlal|umull|cmg[et]|cmeq)(\.4s|\.8h|\s+v\d)", assembly)


def test_dark_kernels_refuse_arrays_that_do_not_fit():
    zeros = np.zeros((3, 4), "u2")
    with pytest.raises(ValueError, match=r"code has shape \(2, 4\)"):
        DarkSums.zeros(1, 4).accumulate(zeros, zeros[:2].astype("u1"), np.zeros(3, int), 0)
    with pytest.raises(ValueError, match=r"adc has shape \(3, 4\), needs \(3, 5\)"):
        darks.checked_frames(zeros, zeros.astype("u1"), np.zeros(3, int), 1, 5)
