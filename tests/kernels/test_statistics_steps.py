"""Packed steps of the statistics against the plain loop, which does what is left of a line, and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.kernels.cells import TILE
from calibook.kernels.lane_steps import WIDE
from calibook.kernels.row_sums import row_sums
from calibook.kernels.statistics import CorrectedStatistics
from calibook.kernels.statistics_steps import FRAMES

RANGES, BINS = ((-5.0, 50.0), (0.0, 1024.0), (0.0, 16.0)), 64
OF_PIXELS, OF_ALL = ("total", "count", "any_bits", "stage_sum"), ("stages", "bad_bits", "histogram")
PIXELS = (1, WIDE - 1, WIDE, WIDE + 1, 100, TILE - 1, TILE, TILE + WIDE, TILE + 21)


def corrected(seed, frames, pixels):
    """Samples of all kinds, with any bits, in arrays that begin anywhere."""
    r = np.random.default_rng(seed)
    shape = (frames, pixels)
    past = int(r.integers(0, 64))
    data, gain, mask = (twins.rubbish(shape, dtype, past) for dtype in ("f4", "u1", "u4"))
    halves = (r.integers(-(2**20), 2**20, shape) + 0.5) * 2.0**-16  # between two multiples of STEP
    odd = np.array([np.nan, np.inf, -np.inf, -5, 50, 16, 0, -0.0, 3e38, -3e38, 2.0**24, 1e-45], "f4")
    data[:] = np.choose(r.integers(0, 4, shape), [r.normal(5, 20, shape), halves, r.choice(odd, shape), 1.25])
    gain[:] = r.integers(0, 3, shape)
    words = np.where(
        r.random(shape) < 0.5, np.uint32(1) << r.integers(0, 32, shape, dtype="u4"), np.uint32(0)
    )
    mask[:] = np.where(r.random(shape) < 0.05, r.integers(0, 1 << 32, shape, dtype="u4"), words)
    return data, gain, mask


def collected(arrays, excluded, closely=None, looked=None):
    statistics = CorrectedStatistics.zeros(arrays[0].shape[1], BINS, RANGES)
    return statistics, *statistics.add(*arrays, excluded, closely, looked)


def plainly(arrays, *rest):
    """The same with pixels so few at a time that no packed step does them."""
    few = WIDE - 1
    parts = [
        collected([np.ascontiguousarray(a[:, p : p + few]) for a in arrays], *rest)
        for p in range(0, arrays[0].shape[1], few)
    ]
    found = {name: np.concatenate([getattr(part, name) for part, *_ in parts]) for name in OF_PIXELS}
    found.update({name: sum(getattr(part, name) for part, *_ in parts) for name in OF_ALL})
    return found, sum(sums for _, sums, _ in parts), sum(counts for *_, counts in parts)


def same_bits(got, expected, name):
    np.testing.assert_array_equal(got.view("u1"), np.asarray(expected, got.dtype).view("u1"), err_msg=name)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32), st.integers(0, 2 * FRAMES + 1), st.sampled_from(PIXELS),
    st.sampled_from([0, 1, 0xFFFFFFFF, 0xAAAAAAAA]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_steps_are_the_loop_and_the_twin(seed, frames, pixels, excluded, all_closely, all_looked):
    arrays = corrected(seed, frames, pixels)
    r = np.random.default_rng(seed)
    closely, looked = (None if every else r.random(frames) < 0.6 for every in (all_closely, all_looked))
    got, sums, counts = collected(arrays, excluded, closely, looked)
    found, plain_sums, plain_counts = plainly(arrays, excluded, closely, looked)
    some = np.ones(frames, bool) if looked is None else looked
    near = some if closely is None else some & closely
    edges = [np.linspace(*limits, BINS + 1) for limits in RANGES]
    twin = twins.statistics(*(a[some] for a in arrays), excluded, edges)
    of_near = twins.statistics(*(a[near] for a in arrays), excluded, edges)
    for name in (*OF_PIXELS, *OF_ALL):
        same_bits(getattr(got, name), found[name], name)
        expected = of_near if name in ("histogram", "bad_bits") else twin
        same_bits(getattr(got, name), expected[name] + np.zeros(1, getattr(got, name).dtype), name)
    of_frames = [twins.statistics(*(a[n : n + 1] for a in arrays), excluded, edges) for n in range(frames)]
    for n, alone in enumerate(of_frames):
        assert sums[n] == some[n] * alone["total"].sum() and counts[n] == some[n] * alone["count"].sum()
    if frames:
        same_bits(sums, plain_sums, "sums")
        same_bits(counts, plain_counts, "counts")


@pytest.mark.parametrize("pixels", [WIDE - 1, WIDE, 3 * WIDE + 5, TILE + WIDE])
@pytest.mark.parametrize("frames", [1, FRAMES, 2 * FRAMES + 1])
@pytest.mark.parametrize("stage", [3, 4, 128, 255])
def test_a_stage_that_does_not_exist_is_refused_wherever_it_is(pixels, frames, stage):
    r = np.random.default_rng(pixels)
    for n, p in [(0, 0), (frames - 1, pixels - 1), *r.integers(0, (frames, pixels), (5, 2))]:
        data, gain, mask = corrected(1, frames, pixels)
        gain[n, p] = stage
        with pytest.raises(ValueError, match=f"gain stage {stage}"):
            collected((data, gain, mask), 0)
        collected((data, gain, mask), 0, None, np.arange(frames) != n)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32), st.integers(0, 3), st.sampled_from([1, WIDE - 1, WIDE, 2 * WIDE + 3, 128]),
    st.integers(1, 20), st.integers(1, 9), st.sampled_from([0, 1, 0xFFFFFFFF]),
)  # fmt: skip
def test_sums_of_rows_are_those_of_frames_that_have_no_others(seed, frames, width, rows, every, excluded):
    arrays = corrected(seed, frames, rows * width)
    cut = (a.reshape(frames, rows, width)[:, ::every] for a in arrays)
    _, sums, counts = collected(
        [np.ascontiguousarray(a).reshape(frames, len(range(0, rows, every)) * width) for a in cut], excluded
    )
    found = row_sums(arrays[0], arrays[2], width, every, excluded)
    np.testing.assert_array_equal(found, (sums, counts))


def test_rows_that_are_no_rows():
    data, _, mask = corrected(0, 2, 64)
    for width, every in ((0, 1), (16, 0), (24, 1)):
        with pytest.raises(ValueError, match="frames have 64"):
            row_sums(data, mask, width, every)
    with pytest.raises(ValueError, match="mask has shape"):
        row_sums(data, mask[:1], 16, 1)
