import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.errors import BadParameter
from calibook.kernels.cell_mode import CellSums, frames_of_rows

SHAPE, NOISE = (24, 20), 8.0


def twin(data, gain, mask, cell, cells, dark_range, lit, excluded):
    """(count, total) in whole steps of 1/256 ADU."""
    rows = -(-cells // 32)
    count, total = np.zeros((2, rows, *data.shape[1:]), "i8")
    good = (mask & np.uint32(excluded)) == 0
    with np.errstate(invalid="ignore"):
        bright = good & ((gain > 0) | (data >= lit)) & np.isfinite(lit)
    around = np.zeros(data.shape, bool)
    padded = np.pad(bright, ((0, 0), (1, 1), (1, 1)))
    for i, j in ((i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)):
        around |= padded[:, i : i + data.shape[1], j : j + data.shape[2]]
    with np.errstate(invalid="ignore"):
        usable = good & (gain == 0) & (np.abs(data) < 2**15)
        steps = np.rint(np.where(usable, data, 0) * np.float32(256)).astype("i8")
    usable &= (steps >= np.ceil(dark_range[0] * 256)) & (steps <= np.floor(dark_range[1] * 256)) & ~around
    for n, c in enumerate(cell):
        if 0 <= c < rows * 32:
            count[c // 32] += usable[n]
            total[c // 32] += np.where(usable[n], steps[n], 0)
    return count, total


def frames(n, seed=0):
    r = np.random.default_rng(seed)
    data = r.normal(0, NOISE, (n, *SHAPE)).astype("f4")
    return data, np.zeros(data.shape, "u1"), np.zeros(data.shape, "u4"), r.integers(0, 64, n)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(-30.0, 30.0), (-0.3, 1000.0)]),
    st.sampled_from([12.0, 0.1, np.inf]),
    st.sampled_from([4, 33, 64]),
)
def test_twin(seed, dark_range, lit, cells):
    r = np.random.default_rng(seed)
    data, gain, mask, cell = frames(r.integers(0, 5), seed)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e30, 32768, 30, -30, 12, 600], "f4")
    data = np.where(r.random(data.shape) < 0.05, r.choice(odd, data.shape), data)
    gain[:] = np.where(r.random(data.shape) < 0.02, 2, 0)
    mask[:] = np.where(r.random(data.shape) < 0.05, r.choice([1, 4], data.shape), 0)
    cell[: len(cell) // 3] -= 40
    sums = CellSums.zeros(cells, SHAPE)
    sums.add(data, gain, mask, cell, dark_range, lit, 1)
    count, total = twin(data, gain, mask, cell, cells, dark_range, lit, 1)
    np.testing.assert_array_equal(sums.count, count)
    np.testing.assert_array_equal(sums.total, total)


def test_parts_in_any_order_give_the_same_bytes():
    data, gain, mask, cell = frames(30)
    whole, merged = CellSums.zeros(64, SHAPE), CellSums.zeros(64, SHAPE)
    whole.add(data, gain, mask, cell)
    for part in (slice(20, 30), slice(0, 7), slice(7, 20)):
        other = CellSums.zeros(64, SHAPE)
        other.add(data[part], gain[part], mask[part], cell[part])
        merged.merge(other)
    assert whole.total.tobytes() == merged.total.tobytes() and (whole.count == merged.count).all()


def test_what_pixels_are_off_by_is_found_and_not_their_neighbours_light():
    """Every tenth pixel is lit in each frame, and leaves 8 ADU in each of its neighbours."""
    n, r = 2000, np.random.default_rng(1)
    off = r.normal(0, 3, (2, *SHAPE)).astype("f4")
    data, gain, mask, cell = frames(n)
    data += off[cell // 32]
    hit = r.random(data.shape) < 0.02
    shared = sum(np.roll(hit, step, axis) for step in (-1, 1) for axis in (1, 2))
    data += 8 * shared.astype("f4") + 65 * hit
    sums, simple = CellSums.zeros(64, SHAPE), CellSums.zeros(64, SHAPE)
    sums.add(data, gain, mask, cell)
    simple.add(data, gain, mask, cell, lit=np.inf)
    counted = frames_of_rows(cell, 64)
    inner = np.s_[:, 1:-1, 1:-1]  # what comes round the border has no neighbour
    # 1000 frames of a row; half of them without a lit neighbour, and 7 % of noise looks lit
    wrong = (sums.offsets(counted) - off)[inner]
    assert abs(wrong.mean()) < 5 * NOISE / np.sqrt(400 * wrong.size)
    assert wrong.std() == pytest.approx(NOISE / np.sqrt(480), rel=0.2)
    assert (simple.offsets(counted) - off)[inner].mean() > 0.5


def test_pixels_that_are_hardly_dark_are_left_alone():
    data, gain, mask, cell = frames(40)
    data[8:, 3, 3] = 100
    data[:, 5, 5] = 5
    sums = CellSums.zeros(64, SHAPE)
    sums.add(data, gain, mask, cell, lit=np.inf)
    found = sums.offsets(frames_of_rows(cell, 64), 0.5)
    assert (found[:, 3, 3] == 0).all() and (found[:, 5, 5] == 5).all()
    assert not CellSums.zeros(64, SHAPE).offsets(np.zeros(2)).any()


def test_impossible_options():
    arrays = frames(1)
    with pytest.raises(BadParameter, match="dark range is 30 to -30"):
        CellSums.zeros(64, SHAPE).add(*arrays, dark_range=(30, -30))
    with pytest.raises(BadParameter, match="fraction of dark samples is 2"):
        CellSums.zeros(64, SHAPE).offsets(np.ones(2), 2)
    with pytest.raises(ValueError, match="needs"):
        CellSums.zeros(64, (3, 3)).add(*arrays)
