import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.kernels.spectra import TILE, Spectra


@st.composite
def corrected(draw):
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames, pixels = draw(st.sampled_from([0, 1, 7])), draw(st.sampled_from([1, 15, TILE + 3]))
    shape, cells = (frames, pixels), draw(st.sampled_from([1, 3]))
    odd = np.array([np.nan, np.inf, -np.inf, -60, 240, -60.001, 1e30, 0, 2, 4], "f4")
    data = np.where(r.random(shape) < 0.2, r.choice(odd, shape), r.normal(50, 100, shape)).astype("f4")
    gain = r.choice(np.array([0, 0, 0, 1, 2], "u1"), shape)
    mask = r.choice(np.array([0, 0, 0, 1, 0x400000], "u4"), shape)
    return data, gain, mask, r.integers(-1, cells + 1, frames), cells


def twin(data, gain, mask, cell, cells, excluded):
    used = (gain == 0) & ((mask & np.uint32(excluded)) == 0) & np.isfinite(data)
    edges = np.concatenate([[-np.inf], np.arange(-60, 241, 2), [np.inf]])
    counts = [
        [
            np.histogram(data[cell == c, p][used[cell == c, p]].astype("f8"), edges)[0]
            for p in range(data.shape[1])
        ]
        for c in range(cells)
    ]
    # NumPy counts what is at the very end among the last bin: the next one is above here, too.
    return np.array(counts)


@settings(deadline=None, max_examples=25)
@given(corrected(), st.sampled_from([0xFFFFFFFF, 1]))
def test_spectra_are_numpys(frames, excluded):
    *frames, cells = frames
    found = Spectra.zeros(cells, frames[0].shape[1], -60, 240, 150)
    outside = found.add(*frames, excluded)
    assert outside == ((frames[3] < 0) | (frames[3] >= cells)).sum()
    np.testing.assert_array_equal(found.counts, twin(*frames, cells, excluded))


@settings(deadline=None, max_examples=10)
@given(corrected(), st.integers(0, 7))
def test_parts_in_any_order_add_up(frames, cut):
    *frames, cells = frames
    whole, *parts = (Spectra.zeros(cells, frames[0].shape[1], -60, 240, 150) for _ in range(3))
    whole.add(*frames)
    for part, chosen in zip(parts, (slice(cut), slice(cut, None)), strict=True):
        part.add(*(np.ascontiguousarray(a[chosen]) for a in frames))
    np.testing.assert_array_equal(parts[1].merge(parts[0]).counts, whole.counts)


def test_centres():
    assert Spectra.zeros(1, 1, 0, 10, 5).centres.tolist() == [1, 3, 5, 7, 9]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="0 bins"):
        Spectra.zeros(1, 1, 0, 1, 0)
    with pytest.raises(ValueError, match="can't be merged"):
        Spectra.zeros(1, 1, 0, 10, 5).merge(Spectra.zeros(1, 1, 0, 11, 5))
    zeros = np.zeros((2, 3), "f4")
    with pytest.raises(ValueError, match=r"cell has shape \(1,\)"):
        Spectra.zeros(1, 3, 0, 10, 5).add(zeros, zeros.astype("u1"), zeros.astype("u4"), [0])
