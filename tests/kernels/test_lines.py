import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.kernels.cells import TILE
from calibook.kernels.lines import HIGH, MAX_STEP, MEDIUM, LineSums, StageCounts


@st.composite
def scans(draw):
    """(raw, cell, steps, threshold, windows, scanned), adverse."""
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames, pixels = draw(st.sampled_from([0, 1, 20])), draw(st.sampled_from([1, 17, TILE + 3]))
    cells = draw(st.sampled_from([1, 3]))
    raw = r.integers(0, 0x4000, (frames, 2, pixels), dtype="u2")
    raw = np.where(r.random(raw.shape) < 0.1, r.choice(np.array([0, 0x3FFF, 0xFFFF], "u2"), raw.shape), raw)
    threshold = np.sort(r.integers(0, 0x4000, (cells, 2, pixels)), axis=1).astype("u2")
    windows = np.sort(r.integers(0, MAX_STEP + 2, (cells, 2, 2, pixels)), axis=2).astype("u2")
    steps = r.integers(0, MAX_STEP + 1, frames)
    return raw, r.integers(-1, cells + 1, frames), steps, threshold, windows, r.random(pixels) < 0.7


@settings(deadline=None, max_examples=30)
@given(scans())
def test_counts_are_numpys(scan):
    raw, cell, _, threshold, _, scanned = scan
    found = StageCounts.zeros(len(threshold), raw.shape[2])
    found.add(raw, cell, threshold, scanned)
    for c in range(len(threshold)):
        adc, level = raw[cell == c].astype(int).swapaxes(0, 1)
        used, above = scanned & (adc != 0), level > threshold[c, 0]
        np.testing.assert_array_equal(found.counts[c, HIGH], (used & ~above).sum(0))
        np.testing.assert_array_equal(
            found.counts[c, MEDIUM], (used & above & (level <= threshold[c, 1])).sum(0)
        )


@settings(deadline=None, max_examples=30)
@given(scans(), st.integers(0, 20))
def test_sums_are_numpys_in_parts_and_whole(scan, cut):
    raw, cell, steps, threshold, windows, _ = scan
    whole, *parts = (LineSums.zeros(len(threshold), raw.shape[2]) for _ in range(3))
    whole.add(raw, cell, steps, threshold, windows)
    for part, chosen in zip(parts, (slice(cut), slice(cut, None)), strict=True):
        part.add(np.ascontiguousarray(raw[chosen]), cell[chosen], steps[chosen], threshold, windows)
    np.testing.assert_array_equal(parts[1].merge(parts[0]).sums, whole.sums)
    for c, line in np.ndindex(len(threshold), 2):
        y, level = raw[cell == c].astype(int).swapaxes(0, 1)
        x = steps[cell == c][:, None] * np.ones_like(y)
        above = level > threshold[c, 0]
        stage = above & (level <= threshold[c, 1]) if line else ~above
        used = stage & (x >= windows[c, line, 0]) & (x < windows[c, line, 1]) & (y > 0) & (y < 0x3FFF)
        for i, values in enumerate((np.ones_like(y), x, x * x, y, x * y, y * y)):
            np.testing.assert_array_equal(whole.sums[c, line, i], (values * used).sum(0))


def test_lines_are_polyfit_s():
    r = np.random.default_rng(0)
    x = np.arange(200)
    y = np.rint(3000 + 28 * x[:, None] + r.normal(0, 8, (200, 5))).astype("u2")
    raw = np.stack([y, np.full_like(y, 5000)], 1)
    sums = LineSums.zeros(1, 5)
    windows = np.zeros((1, 2, 2, 5), "u2")
    windows[0, HIGH] = [[20] * 5, [150] * 5]
    sums.add(raw, np.zeros(200, int), x, np.full((1, 2, 5), 6000, "u2"), windows)
    lines = sums.fit()
    for p in range(5):
        chosen = slice(20, 150)
        (slope, intercept), covariance = np.polyfit(x[chosen], y[chosen, p].astype("f8"), 1, cov=True)
        assert lines.slope[0, HIGH, p] == pytest.approx(slope, rel=1e-10)
        assert lines.intercept[0, HIGH, p] == pytest.approx(intercept, rel=1e-10)
        errors = lines.slope_error[0, HIGH, p], lines.intercept_error[0, HIGH, p]
        np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-6)
    assert (lines.points[0, HIGH] == 130).all() and np.isnan(lines.slope[0, MEDIUM]).all()


def test_errors_of_lines_are_honest():
    r = np.random.default_rng(1)
    x, pixels = np.arange(100), 2000
    y = np.rint(4000 + 20 * x[:, None] + r.normal(0, 8, (100, pixels))).astype("u2")
    sums, windows = LineSums.zeros(1, pixels), np.zeros((1, 2, 2, pixels), "u2")
    windows[0, HIGH, 1] = 100
    raw = np.stack([y, np.full_like(y, 5000)], 1)
    sums.add(raw, np.zeros(100, int), x, np.full((1, 2, pixels), 6000, "u2"), windows)
    lines = sums.fit()
    for value, error, truth in (
        (lines.slope, lines.slope_error, 20),
        (lines.intercept, lines.intercept_error, 4000),
    ):
        # 2000 values: the width of the pull is known to 1.6 %
        assert ((value - truth) / error)[0, HIGH].std() == pytest.approx(1, abs=0.06)
    # rounding to whole ADU adds 1 / 12
    assert lines.deviation[0, HIGH].mean() == pytest.approx(np.sqrt(64 + 1 / 12), rel=0.01)


def test_the_largest_sums_do_not_overflow():
    sums, top = LineSums.zeros(1, 1), MAX_STEP
    n, x, y = top + 1, np.arange(top + 1, dtype=object), 0x3FFE
    for i, values in enumerate((n, x.sum(), (x * x).sum(), n * y, (x * y).sum(), n * y * y)):
        sums.sums[0, HIGH, i] = values
    lines = sums.fit()
    assert (
        lines.slope[0, HIGH, 0] == 0 and lines.intercept[0, HIGH, 0] == y and lines.deviation[0, HIGH, 0] == 0
    )


def test_windows_leave_the_jumps_out():
    counts = StageCounts(np.array([[[100, 0, 300], [150, 0, 0]]], "u4"))
    windows = counts.windows([np.arange(300)], before=10, after=20)
    assert windows[0, :, :, 0].tolist() == [[0, 90], [120, 240]]
    # never high nor medium: nothing; always high: to the end of the scan
    assert windows[0, HIGH, 1, 1] == 0 and windows[0, MEDIUM, 1, 1] == 0
    assert windows[0, HIGH, :, 2].tolist() == [0, 300]


def test_arrays_that_do_not_fit_are_refused():
    raw, threshold, windows = (
        np.zeros((2, 2, 3), "u2"),
        np.zeros((1, 2, 3), "u2"),
        np.zeros((1, 2, 2, 3), "u2"),
    )
    with pytest.raises(ValueError, match="from 0 to 4095"):
        LineSums.zeros(1, 3).add(raw, [0, 0], [0, 4096], threshold, windows)
    with pytest.raises(ValueError, match="threshold has shape"):
        StageCounts.zeros(2, 3).add(raw, [0, 0], threshold, np.ones(3, bool))
    with pytest.raises(ValueError, match="cell has shape"):
        StageCounts.zeros(1, 3).add(raw, [0], threshold, np.ones(3, bool))
