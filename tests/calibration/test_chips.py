"""Chips that stand out."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.calibration.summaries.chips import (
    bad_share_by_chip,
    by_chip,
    cells_as_text,
    noise_by_chip,
    outlying_chips,
)
from calibook.detectors.agipd import AGIPD

CELLS, STAGES, CHIP = 4, 3, (4, 8)


def test_chips_are_counted_along_fast_scan_first():
    maps = np.arange(8 * 16).reshape(8, 16)
    cut = by_chip(maps, CHIP)
    assert cut.shape == (4, 32)
    for chip, (row, column) in enumerate([(0, 0), (0, 8), (4, 0), (4, 8)]):
        np.testing.assert_array_equal(cut[chip], maps[row : row + 4, column : column + 8].ravel())


@pytest.fixture
def darks():
    """(noise, bad) of 4 chips: chip 1 dead in medium gain, chip 2 noisy in cell 3, high gain."""
    noise = np.random.default_rng(0).normal(8, 0.5, (CELLS, STAGES, 8, 16)).astype("f4")
    bad = np.zeros(noise.shape, "u4")
    bad[:, 1, :4, 8:] = 3
    noise[:, 1, :4, 8:] = 0
    noise[3, 0, 4:, :8] *= 2
    bad[0, 2, 0, 0] = 1  # a pixel is no chip
    return noise, bad


def test_shares_and_noise_are_those_of_good_pixels(darks):
    noise, bad = darks
    share, median = bad_share_by_chip(bad, CHIP), noise_by_chip(noise, bad, CHIP)
    assert share.shape == median.shape == (CELLS, STAGES, 4)
    assert (share[:, 1, 1] == 1).all() and share[0, 2, 0] == np.float32(1 / 32) and share.sum() == 4 + 1 / 32
    assert np.isnan(median[:, 1, 1]).all() and np.isfinite(median).sum() == 48 - 4
    assert median[0, 2, 0] == np.median(noise[0, 2, :4, :8].ravel()[1:])


def test_what_stands_out_is_named_with_module_chip_stage_and_cells(darks):
    noise, bad = darks
    result = {
        "module": 5, "chip_bad": bad_share_by_chip(bad, CHIP), "chip_noise": noise_by_chip(noise, bad, CHIP)
    }  # fmt: skip
    second, first = outlying_chips(AGIPD, {"AGIPD05": result})
    assert [first[k] for k in ("module", "ASIC", "gain stage", "cells", "what")] == [
        5, 2, "high", "3", "noise"
    ]  # fmt: skip
    assert [second[k] for k in ("ASIC", "gain stage", "cells", "what", "worst")] == [
        1, "medium", "all", "bad pixels", "100%"
    ]  # fmt: skip


def test_gain_stages_in_which_the_same_cells_stand_out_are_told_together(darks):
    noise, bad = darks
    bad[:, :, :4, 8:] = 3
    bad[2, 1:, 4:, 8:12] = 3
    noise[bad != 0] = 0
    result = {
        "module": 5, "chip_bad": bad_share_by_chip(bad, CHIP), "chip_noise": noise_by_chip(noise, bad, CHIP)
    }  # fmt: skip
    rows = [(r["ASIC"], r["gain stage"], r["cells"], r["worst"]) for r in outlying_chips(AGIPD, {"": result})]
    assert rows[0] == (1, "all", "all", "100%") and rows[2] == (3, "medium, low", "2", "50%")
    assert rows[1][:3] == (2, "high", "3") and len(rows) == 3


@pytest.mark.parametrize(
    ("cells", "text"), [([0, 1, 2, 5, 7, 8], "0-2, 5, 7-8"), ([3], "3"), (range(9), "all")]
)
def test_cells_are_told_in_ranges(cells, text):
    assert cells_as_text(list(cells), 9) == text
