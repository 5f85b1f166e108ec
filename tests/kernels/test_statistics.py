import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.kernels.statistics import CorrectedStatistics, frame_sums

RANGES = ((-5.0, 50.0), (0.0, 1024.0), (0.0, 16.0))
BINS = 64
FIELDS = ("total", "count", "any_bits", "stages", "bad_bits", "histogram")


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
        # NumPy closes the last bin; here the upper end is above it. No value is as large as infinity.
        for name, expected in twins.statistics(data, gain, mask, excluded, edges).items():
            np.testing.assert_array_equal(getattr(got, name), expected, err_msg=name)


def test_blocks_merge_to_the_whole():
    frames = corrected(1)
    whole = collected(*frames)
    a, b = (collected(*(x[s] for x in frames)) for s in (slice(2), slice(2, None)))
    merged = a.merge(b)
    for name in FIELDS:
        # f8 sums in another order; six values of up to 3e38 may cancel.
        if name == "total":
            np.testing.assert_allclose(merged.total, whole.total, rtol=1e-12, atol=1e24)
        else:
            np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name), err_msg=name)


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
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 0xFFFFFFFF]))
def test_frame_sums(seed, excluded):
    data, _, mask = corrected(seed)
    used = np.isfinite(data) & ((mask & np.uint32(excluded)) == 0)
    sums, counts = frame_sums(data, mask, excluded)
    assert np.array_equal(counts, used.sum(axis=1))
    # Both add in double precision, in another order: a few units of the last place of the largest.
    expected = np.where(used, data.astype("f8"), 0).sum(axis=1)
    largest = np.abs(np.where(used, data, 0)).astype("f8").sum(axis=1)
    assert np.all(np.abs(sums - expected) <= 1e-12 * largest)
