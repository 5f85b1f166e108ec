"""Flat fields, written as raw runs with known gains: from files to gains."""

from dataclasses import replace

import numpy as np
import pytest

from calibook.calibration.agipd.correct import ChipMode
from calibook.calibration.agipd.spectra import TYPICAL_UNITS, PeakOptions, characterise_flat_field
from calibook.detectors.agipd import AGIPD
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadParameter
from calibook.procedures.tasks import Task
from calibook.runs.raw_writer import RunPart, raw_file_writer

# One chip, so that it has a common mode.
SHAPE, CELLS, TRAINS, ENERGY = (64, 64), 3, 500, 8.0
SMALL, KARABO_ID = replace(AGIPD, module_shape=SHAPE), "SPB_DET_AGIPD1M-1"
EMPTY_CELL, LOST = 1, 7
OPTIONS = PeakOptions(ENERGY, min_photons=50)


def truth():
    r = np.random.default_rng(5)
    gain = (7 * r.normal(1, 0.03, (CELLS, *SHAPE))).astype("f4")
    offset = 4950 + r.normal(0, 250, (CELLS, 1, *SHAPE)) + np.array([0, 2000, 3000])[:, None, None]
    return gain, offset


def write_flat(folder, run):
    """Half a photon per pixel in cells 0 and 2, one lost frame, shifts of the chip."""
    r = np.random.default_rng([4, run])
    gain, offset = truth()
    cell = np.tile([0, 2], TRAINS)
    photons = r.poisson(0.5, (len(cell), *SHAPE))
    signal = offset[cell, 0] + gain[cell] * ENERGY * photons + r.normal(0, 8, photons.shape)
    signal += r.normal(0, 8, (len(cell), 1, 1))
    shown = 5750 + r.normal(0, 40, photons.shape)
    data = np.stack([signal, shown], 1).round().clip(0, 16383).astype("u2")
    data[LOST] = 0
    recorded = RunPart(run, 0, 1000 * run + np.arange(TRAINS), 10**18 + np.arange(TRAINS) * 10**8)
    values = {
        "cellId": cell.astype("u2"), "pulseId": cell.astype("u8"),
        "trainId": np.repeat(recorded.train_ids, 2).astype("u8"),
        "length": np.ones(len(cell), "u4"), "status": np.zeros(len(cell), "u2"),
    }  # fmt: skip
    with raw_file_writer(folder, SMALL, KARABO_ID, 0, recorded, 2) as writer:
        writer.append({"data": data}, {k: v[:, None] for k, v in values.items()})
    return str(recorded.path(folder, "AGIPD00"))


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flat")
    files = {str(run): [write_flat(folder, run)] for run in (4, 5)}
    return Task("AGIPD00", {"files": files, "karabo_id": KARABO_ID, "conditions": {"Memory cells": CELLS}})


@pytest.fixture(scope="module")
def constants():
    """The offset of one pixel is unknown, another is bad in darks."""
    offset = truth()[1].copy()
    offset[:, :, 3, 4] = np.nan
    levels = np.broadcast_to(np.array([6300.0, 7400.0])[:, None, None], (CELLS, 2, *SHAPE))
    bad = np.zeros((CELLS, 3, *SHAPE), "u4")
    bad[:, :, 5, 6] = BadPixels.NOISE_OUT_OF_THRESHOLD
    return {"Offset": offset, "ThresholdsDark": levels, "BadPixelsDark": bad}


@pytest.fixture(scope="module")
def found(flat, constants):
    return characterise_flat_field(SMALL, flat, constants, OPTIONS, common_mode=ChipMode(estimator="window"))


def test_gains_are_the_true_ones_with_honest_errors(found):
    lit = np.arange(CELLS) != EMPTY_CELL
    gain, error, bad = (a[lit] for a in (found.flat.gain, found.flat.gain_error, found.flat.bad))
    true, good = truth()[0][lit], bad == 0
    assert good.mean() > 0.999
    pull = (gain[good] - true[good]) / error[good]
    # 8000 gains: the width is known to 0.8 %, the mean bias to 0.01 %
    assert pull.std() == pytest.approx(1, abs=0.05)
    assert abs((gain[good] / true[good]).mean() - 1) < 1e-3
    # Common mode is out: what is left is the noise of 8 ADU, and rounding.
    assert found.typical["width"][0] == pytest.approx(8, abs=0.15)
    assert found.typical["photons"][0] == pytest.approx(0.5 * 2 * TRAINS, rel=0.03)
    assert set(found.typical) == set(TYPICAL_UNITS)


def test_a_lost_frame_and_a_cell_without_frames_leave_no_trace(found):
    assert found.frames.tolist() == [1000, 0, 1000]
    # The first frame of both runs that is lost is of cell 2.
    assert found.spectra.counts[0].sum(axis=1)[0] == 1000
    assert (found.flat.bad[EMPTY_CELL] == BadPixels.FF_NO_ENTRIES).all()
    assert np.unique(found.flat.gain[EMPTY_CELL]).size == 1
    assert found.flat.gain[EMPTY_CELL, 0, 0] == pytest.approx(7, rel=0.01)
    assert np.isnan(found.typical["gain"][EMPTY_CELL])


def test_a_pixel_without_offset_is_bad_one_that_is_bad_in_darks_has_a_gain(found):
    assert found.flat.bad[0, 3, 4] == BadPixels.FF_NO_ENTRIES
    assert found.flat.bad[0, 5, 6] == 0
    assert found.flat.cuts["too few photons"].tolist() == [1, 64 * 64, 1]


def test_threads_make_no_difference_and_cells_can_be_summed(flat, constants):
    common = {"common_mode": ChipMode(estimator="window")}
    options = replace(OPTIONS, per_cell=False)
    one, three = (
        characterise_flat_field(SMALL, flat, constants, options, threads=n, **common) for n in (1, 3)
    )
    np.testing.assert_array_equal(one.spectra.counts, three.spectra.counts)
    np.testing.assert_array_equal(one.flat.gain, three.flat.gain)
    assert one.frames.tolist() == [2000] and one.flat.gain.shape == (1, *SHAPE)
    mean = truth()[0][[0, 2]].mean(axis=0)
    good = one.flat.bad[0] == 0
    assert (one.flat.gain[0][good] / mean[good]).mean() == pytest.approx(1, abs=2e-3)


def test_spectra_have_whole_bins_of_adc_codes():
    spectra = OPTIONS.new_spectra(1)
    assert (spectra.start, spectra.width) == (-56, 2)
    assert spectra.centres[-1] == pytest.approx(3.25 * 56, abs=2)


@pytest.mark.parametrize("name", ["photon_energy", "expected_gain", "noise", "bin_width"])
def test_impossible_options(name):
    with pytest.raises(BadParameter, match=f"{name} is 0"):
        replace(OPTIONS, **{name: 0})
