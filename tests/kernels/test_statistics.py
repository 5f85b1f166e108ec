import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.kernels.statistics import CorrectedStatistics
from calibook.kernels.statistics_steps import STEP

RANGES = ((-5.0, 50.0), (0.0, 1024.0), (0.0, 16.0))
BINS = 64
FIELDS = ("total", "count", "any_bits", "stage_sum", "stages", "bad_bits", "histogram")


def corrected(seed, frames=6, pixels=300):
    """Values that include NaN, infinity, the ends of bins and both sides of the range."""
    r = np.random.default_rng(seed)
    shape = (frames, pixels)
    odd = np.array([np.nan, np.inf, -np.inf, -5, 50, 16, 1024, 0, -0.0, 3e38, -3e38], "f4")
    data = np.where(r.random(shape) < 0.2, r.choice(odd, shape), r.normal(5, 20, shape)).astype("f4")
    return data, r.integers(0, 3, shape).astype("u1"), r.choice(np.array([0, 0, 1, 0x80000005], "u4"), shape)


def collected(*frames, excluded=0xFFFFFFFF):
    statistics = CorrectedStatistics.zeros(frames[0].shape[1], BINS, RANGES)
    statistics.add(*frames, excluded)
    return statistics


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([1, 6]), st.sampled_from([1, 300, 5000]))
def test_twin(seed, frames, pixels):
    data, gain, mask = corrected(seed, frames, pixels)
    for excluded in (0, 1, 0xFFFFFFFF):
        got = collected(data, gain, mask, excluded=excluded)
        edges = [np.linspace(*limits, BINS + 1) for limits in RANGES]
        for name, expected in twins.statistics(data, gain, mask, excluded, edges).items():
            np.testing.assert_array_equal(getattr(got, name), expected, err_msg=name)


def test_bins_are_numpys_but_for_values_at_their_ends():
    data, gain, mask = corrected(3, 6, 5000)
    found, edges = collected(data, gain, mask, excluded=0), [np.linspace(*r, BINS + 1) for r in RANGES]
    for stage in range(3):
        values = data[(gain == stage) & np.isfinite(data)].astype("f8")
        width = edges[stage][1] - edges[stage][0]
        # f4 has 24 bits: no value further than that from an end changes its bin.
        near = np.abs((values - edges[stage][0]) / width % 1 - 0.5) > 0.5 - BINS * 2.0**-23
        expected = np.histogram(values[~near], edges[stage])[0]
        difference = found.histogram[stage, 1:-1] - expected
        assert np.all(difference >= 0) and difference.sum() <= near.sum()


def test_parts_merge_to_the_whole_in_any_order():
    frames = corrected(1)
    whole = collected(*frames)
    a, b = (collected(*(x[s] for x in frames)) for s in (slice(2), slice(2, None)))
    backwards = collected(*(np.ascontiguousarray(x[::-1]) for x in frames))
    for same in (a.merge(b), b.merge(a), backwards):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(same, name), getattr(whole, name), err_msg=name)


def test_mean_of_pixels():
    data = np.array([[1, np.nan, 4], [3, np.nan, 100]], "f4")
    mask = np.array([[0, 0, 0], [0, 0, 1]], "u4")
    mean = collected(data, np.zeros(data.shape, "u1"), mask).mean()
    assert mean[0] == 2 and np.isnan(mean[1]) and mean[2] == 4


def test_no_frames():
    statistics = collected(*corrected(0, 0))
    assert not statistics.count.any() and not statistics.stages.any() and np.isnan(statistics.mean()).all()


def test_a_gain_stage_that_does_not_exist_is_refused():
    data, gain, mask = corrected(0)
    gain[0, 0] = 3
    with pytest.raises(ValueError, match="gain stage 3"):
        collected(data, gain, mask)


def test_statistics_of_other_bins_do_not_merge():
    a = CorrectedStatistics.zeros(2, 4, RANGES)
    with pytest.raises(ValueError, match="can't be merged"):
        a.merge(CorrectedStatistics.zeros(2, 4, RANGES[::-1]))


@pytest.mark.parametrize(("bins", "ranges"), [(0, RANGES), (4, RANGES[:2]), (4, ((0, 0),) * 3)])
def test_impossible_bins(bins, ranges):
    with pytest.raises(ValueError, match="needs 3 ranges"):
        CorrectedStatistics.zeros(2, bins, ranges)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 0xFFFFFFFF]), st.sampled_from([1, 7, 300, 5000]))
def test_sums_of_frames(seed, excluded, pixels):
    data, gain, mask = corrected(seed, 3, pixels)
    data = np.where(np.isfinite(data), data.clip(-1e6, 1e6), data).astype("f4")
    used = np.isfinite(data) & ((mask & np.uint32(excluded)) == 0)
    sums, counts = CorrectedStatistics.zeros(pixels, BINS, RANGES).add(data, gain, mask, excluded)
    assert np.array_equal(counts, used.sum(axis=1))
    # Each value is rounded to a multiple of STEP; the sums are exact.
    expected = np.where(used, data, 0).astype("f8").sum(axis=1)
    assert np.all(np.abs(sums - expected) <= STEP / 2 * np.maximum(counts, 1))


def test_frames_not_looked_at_closely_miss_in_histogram_and_bits_alone():
    frames = corrected(5)
    closely = np.array([True, False, True, False, False, True])
    got = CorrectedStatistics.zeros(frames[0].shape[1], BINS, RANGES)
    got.add(*frames, 1, closely)
    every = collected(*frames, excluded=1)
    some = collected(*(np.ascontiguousarray(x[closely]) for x in frames), excluded=1)
    for name in FIELDS:
        expected = some if name in ("histogram", "bad_bits") else every
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    with pytest.raises(ValueError, match="closely has shape"):
        got.add(*frames, 1, closely[:2])


def test_frames_not_looked_at_are_as_if_they_were_not_there():
    frames = corrected(6)
    looked = np.array([False, True, True, False, True, False])
    got = CorrectedStatistics.zeros(frames[0].shape[1], BINS, RANGES)
    sums, counts = got.add(*frames, 1, None, looked)
    some = CorrectedStatistics.zeros(frames[0].shape[1], BINS, RANGES)
    of_some = some.add(*(np.ascontiguousarray(x[looked]) for x in frames), 1)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(got, name), getattr(some, name), err_msg=name)
    assert np.array_equal(sums[looked], of_some[0]) and np.array_equal(counts[looked], of_some[1])
    assert not sums[~looked].any() and not counts[~looked].any()
    with pytest.raises(ValueError, match="looked has shape"):
        got.add(*frames, 1, None, looked[:2])
