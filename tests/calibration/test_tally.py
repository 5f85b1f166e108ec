"""What is collected of corrected frames, whatever the parts they come in."""

import numpy as np
import pytest

from calibook.calibration import tally
from calibook.calibration.tally import Tally, spread_evenly

SHAPE, RANGES = (8, 16), ((-5.0, 50.0),) * 3
PIXELS = 128


def frames(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (number, PIXELS)
    return (
        rng.normal(5, 2, shape).astype("f4"),
        rng.integers(0, 3, shape, dtype="u1"),
        rng.choice(np.array([0, 0, 0, 1, 4], "u4"), shape),
    )


def collected(parts, arrays) -> dict:
    found = Tally(SHAPE, RANGES, len(arrays[0]))
    for part in parts:
        other = Tally(SHAPE, RANGES, len(arrays[0]))
        other.add(part, *(np.ascontiguousarray(array[part]) for array in arrays))
        found.merge(other)
    return found.results()


@pytest.mark.parametrize("samples", [1 << 25, 200 * PIXELS])
def test_results_do_not_depend_on_parts(samples, monkeypatch):
    monkeypatch.setattr(tally, "_SAMPLES", samples)
    monkeypatch.setattr(tally, "_CLOSELY", samples // 2)
    arrays, every = frames(1000), np.arange(1000)
    whole = collected([every], arrays)
    shuffled = np.random.default_rng(2).permutation(every)
    for parts in (np.array_split(every, 7), np.array_split(shuffled, 3)):
        for name, value in collected(parts, arrays).items():
            np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_long_files_are_looked_at_in_part(monkeypatch):
    arrays, every = frames(5000), np.arange(5000)
    exact = collected([every], arrays)
    assert exact["histogram"].sum() == (arrays[2] == 0).sum()
    assert exact["bit_counts"][0] == (arrays[2] == 1).sum()
    monkeypatch.setattr(tally, "_CLOSELY", 500 * PIXELS)
    part = collected([every], arrays)
    assert part["histogram"].sum() == pytest.approx(exact["histogram"].sum() / 10, rel=0.02)
    # 500 frames of 128 samples, of which a fifth has the bit: 0.8 % is a standard deviation.
    assert part["bit_counts"][[0, 2]] == pytest.approx(exact["bit_counts"][[0, 2]], rel=0.04)
    for name in ("mean", "gain_mean", "any_bits", "signals", "stage_counts", "bad_fraction"):
        np.testing.assert_array_equal(part[name], exact[name], err_msg=name)


def test_very_long_files_tell_means_from_a_part(monkeypatch):
    arrays, every = frames(5000), np.arange(5000)
    exact = collected([every], arrays)
    monkeypatch.setattr(tally, "_SAMPLES", 1000 * PIXELS)
    part = collected([every], arrays)
    # Signals of 5 +- 2, of which three fifths are good, in about 1000 frames.
    np.testing.assert_allclose(part["mean"], exact["mean"], atol=5 * 2 / np.sqrt(600))
    np.testing.assert_allclose(part["gain_mean"], exact["gain_mean"], atol=5 * 0.82 / np.sqrt(1000))
    np.testing.assert_array_equal(part["any_bits"], exact["any_bits"])
    assert part["stage_counts"] == pytest.approx(exact["stage_counts"], rel=0.02)
    assert part["bad_fraction"] == pytest.approx(exact["bad_fraction"], rel=0.02)
    # Of 8 rows the first: 16 samples, of which 9.6 are good.
    errors = part["signals"] - 5
    assert np.isfinite(errors).all()
    assert np.std(errors) == pytest.approx(2 / np.sqrt(9), rel=0.15)


@pytest.mark.parametrize("cells", [1, 2, 64, 352])
def test_no_memory_cell_is_favoured(cells, monkeypatch):
    total = 352 * 64
    closely = spread_evenly(np.arange(total), 1 / 16)
    assert closely.mean() == pytest.approx(1 / 16, rel=0.01)
    by_cell = closely.reshape(-1, cells).sum(axis=0)
    assert by_cell.min() >= by_cell.mean() / 2
    assert by_cell.max() <= by_cell.mean() * 2
