"""Whole simulated AGIPD runs, read as a user of the facility reads them."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from extra.calibration import AGIPDConditions
from extra_data import RunDirectory
from extra_data.components import AGIPD1M, AGIPD500K
from extra_data.validation import RunValidator

from calibook.detectors.agipd import AGIPD, AGIPD_500K
from calibook.errors import BadInput, BadParameter
from calibook.runs.conditions import read_conditions
from calibook.runs.raw_file import open_raw
from calibook.simulation.agipd import simulate_run
from calibook.simulation.agipd_model import draw_truth
from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.agipd_truth import asic_maps
from calibook.simulation.settings import places
from calibook.simulation.truth_files import read_truth, true_photon_energy, truth_path

LIT = AgipdSettings(
    run=4,
    trains=5,
    seed=8,
    modules=(3, 1),
    memory_cells=32,
    acquisition_rate=2.2,
    fewest_frames=3,
    trains_per_sequence=2,
    truth_frames=5,
    lost_trains=(1,),
    lost_data=((3, 3),),
    lost_frames=((1, 4, 0),),
)
SMALL = AgipdSettings(
    run=2,
    trains=2,
    seed=8,
    modules=(0, 5),
    half_size=True,
    memory_cells=4,
    acquisition_rate=4.5,
    scene="dark",
    gain_mode="fixed-medium",
    gain_setting=1,
    integration_time=20,
    bias_voltage=200,
)
ID = LIT.karabo_id


def source(module: int) -> str:
    return f"{ID}/DET/{module}CH0:xtdf"


@pytest.fixture(scope="module")
def small(folder):
    simulate_run(folder, SMALL)
    return RunDirectory(folder / "r0002")


@pytest.fixture(scope="module")
def counts():
    """Frames of the recorded trains: positions 0, 2, 3, 4."""
    return [len(LIT.cells_of(position)) for position in LIT.positions]


def test_files(folder, lit_files):
    names = [
        f"RAW-R0004-{who}-S0000{n}.h5" for who in ("AGIPD01", "AGIPD03", "AGIPD1MCTRL00") for n in (0, 1)
    ]
    assert [path.name for path in lit_files] == names
    assert sorted(lit_files) == sorted((folder / "r0004").glob("*.h5"))


def test_same_settings_give_the_same_bytes(folder, lit_files, tmp_path):
    again = simulate_run(tmp_path, LIT, workers=2)
    truth = [f"truth/R0004-AGIPD0{module}.h5" for module in (1, 3)]
    pairs = [*zip(lit_files, again, strict=True), *((folder / name, tmp_path / name) for name in truth)]
    for path, other in pairs:
        assert path.read_bytes() == other.read_bytes(), path.name


def test_validator_has_no_complaint(folder, lit, small):
    for run in ("r0004", "r0002"):
        RunValidator(str(folder / run)).validate()


def test_component_reads_varying_frames(lit, counts):
    assert len({*counts}) > 1
    detector = AGIPD1M(lit, raw=True, min_modules=1)
    assert sorted(detector.modno_to_source) == [1, 3]
    data = detector["image.data"].xarray()
    assert data.shape == (2, sum(counts), 2, 512, 128) and data.dtype == "u2"
    ids = data.indexes["train_pulse"]
    expected = [
        (int(train), pulse)
        for train, position in zip(LIT.train_ids(LIT.positions), LIT.positions, strict=True)
        for pulse in 2 * LIT.cells_of(position)
    ]
    assert list(ids) == expected
    # The first module lost frame 0 of the last train, the second module all of the train before.
    there = (data != 0).any(axis=(2, 3, 4)).values
    assert np.flatnonzero(~there[0]).tolist() == [sum(counts[:3])]
    assert np.flatnonzero(~there[1]).tolist() == list(range(sum(counts[:2]), sum(counts[:3])))


def test_layout_is_that_of_the_data_acquisition(lit_files, counts):
    with h5py.File(lit_files[0]) as f:
        group = f[f"INSTRUMENT/{source(1)}"]
        assert sorted(group) == ["detector", "header", "image", "trailer"]
        image, n = group["image"], sum(counts[:2])
        assert {name: (d.dtype.str[1:], d.shape) for name, d in image.items()} == {
            "cellId": ("u2", (n, 1)),
            "data": ("u2", (n, 2, 512, 128)),
            "length": ("u4", (n, 1)),
            "pulseId": ("u8", (n, 1)),
            "status": ("u2", (n, 1)),
            "trainId": ("u8", (n, 1)),
        }
        assert image["data"].chunks == (1, 2, 512, 128) and image["data"].compression is None
        assert all(dataset.maxshape[0] is None for part in group.values() for dataset in part.values())
        assert group["detector/data"].shape == (2, 5408)
        assert group["header/pulseCount"][()].tolist() == counts[:2]
        for part in ("header", "detector", "trailer"):
            np.testing.assert_array_equal(group[part]["trainId"], LIT.train_ids(LIT.positions[:2]))
            assert f[f"INDEX/{source(1)}/{part}/count"][()].tolist() == [1, 1]


def test_a_train_without_data_has_no_header_either(lit_files):
    with h5py.File(lit_files[3]) as f:
        for part in ("image", "header", "detector", "trailer"):
            first, count = (f[f"INDEX/{source(3)}/{part}/{name}"][()] for name in ("first", "count"))
            assert count[0] == 0 and first[1] == 0 and count[1] > 0
        assert len(f[f"INSTRUMENT/{source(3)}/header/trainId"]) == 1


def conditions(run, settings) -> AGIPDConditions:
    control, n = settings.karabo_id_control, 8 if settings.half_size else 16
    return AGIPDConditions.from_data(
        run,
        settings.karabo_id,
        fpga_comp=f"{control}/MDL/FPGA_COMP",
        mpod=f"{control[:-1]}/PSC/HV",
        fpga_control=[f"{control}/FPGA/M_{i}" for i in range(n)],
        xtdf=[f"{settings.karabo_id}/DET/{i}CH0:xtdf" for i in range(n)],
    )


def test_extra_finds_the_conditions_meant(lit, small):
    for run, settings, mode in ((lit, LIT, 0), (small, SMALL, 2)):
        found = conditions(run, settings)
        assert found.memory_cells == settings.memory_cells
        assert found.acquisition_rate == settings.acquisition_rate
        assert found.sensor_bias_voltage == settings.bias_voltage
        assert (found.gain_setting, found.gain_mode) == (settings.gain_setting, mode)
        assert found.integration_time == settings.integration_time


def test_our_conditions_are_the_same(folder, lit, small):
    for run, settings, detector in ((lit, LIT, AGIPD), (small, SMALL, AGIPD_500K)):
        ours = read_conditions(folder, settings.run, detector)
        assert ours.control_source == f"{settings.karabo_id_control}/MDL/FPGA_COMP"
        theirs = conditions(run, settings)
        for calibration, parameters in theirs.calibration_types.items():
            if calibration in detector.constants:
                assert detector.conditions_of(calibration, ours.conditions) == theirs.make_dict(parameters)


def test_half_size_detector(small):
    detector = AGIPD500K(small, raw=True)
    assert sorted(detector.modno_to_source) == [0, 5]
    data = detector["image.data"].ndarray()
    assert data.shape == (2, 8, 2, 512, 128)
    # Pedestals of fixed gain, gain plane of the medium stage.
    assert np.median(data[:, :, 0]) == pytest.approx(4950, abs=60)
    assert np.median(data[:, :, 1]) == pytest.approx(6900, abs=60)


def test_truth_file_tells_the_photons_of_the_raw_data(folder, lit_files, counts):
    truth, photons = read_truth(folder / "truth" / "R0004-AGIPD01.h5")
    drawn = draw_truth(8, 1, 32)
    for stage in range(3):
        for ours, theirs in zip(truth.stage(stage), drawn.stage(stage), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert len(photons.cell) == sum(counts)
    assert photons.frames.sum(axis=0).max() == sum(counts) - 1
    with open_raw(lit_files[0], AGIPD, ID) as raw:
        data = next(raw.blocks(5)).images["data"].reshape(5, 2, 512, 128)
        np.testing.assert_array_equal(photons.cell[: raw.n_frames], raw.ids("cellId"))
        np.testing.assert_array_equal(photons.train_id[: raw.n_frames], raw.ids("trainId"))
    good = truth.good_pixels()
    for frame in range(5):
        high = good & (photons.first_stage[frame] == 0) & (photons.saturated == 0)
        cell = photons.cell[frame]
        signal = data[frame, 0] - truth.offset(0)[cell]
        shift = asic_maps((photons.asic_shift + photons.baseline_shift)[frame])
        collected = (signal - shift)[high] / truth.gain(0)[cell][high] / 9.3
        assert high.mean() > 0.05
        # Noise of up to 13 ADU is 0.2 photons, Fano statistics of 46 photons 0.05.
        assert np.abs(collected - photons.first_charge[frame][high]).max() < 6 * 0.22
    hits, charge = (getattr(photons, f"first_{name}").sum(dtype="f8") for name in ("photons", "charge"))
    assert charge == pytest.approx(hits, rel=2e-3)


def test_truth_file_names_axes_units_and_settings(folder, lit):
    with h5py.File(folder / "truth" / "R0004-AGIPD03.h5") as f:
        assert list(f["detector/slope"].attrs["dims"]) == ["gain", "slow_scan", "fast_scan"]
        assert f["detector/slope"].attrs["unit"] == "ADU/keV"
        assert list(f["photons/asic_shift"].attrs["dims"]) == ["frame", "asic"]
        assert (f.attrs["seed"], f.attrs["module"], f.attrs["scene"]) == (8, 3, "rings")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trains": 0}, "trains=0: has to be at least 1"),
        ({"modules": ()}, r"modules=\(\): has to be different numbers in 0..15"),
        ({"modules": (1, 1)}, "modules=.* different"),
        ({"modules": (8,), "half_size": True}, r"modules=.* 0\.\.7"),
        ({"memory_cells": 5}, "memory_cells=5: not one of 4, 32"),
        ({"acquisition_rate": 3.0}, "acquisition_rate=3.0: not one of 4.5, 2.2"),
        ({"memory_cells": 352, "acquisition_rate": 0.5}, "a train is too short"),
        ({"fewest_frames": 65}, "fewest_frames=65: more than the 64"),
        ({"gain_mode": "dynamic"}, "gain_mode='dynamic': not one of adaptive"),
        ({"scan_row": 8, "scene": "dark"}, "scan_row=8: has to be below 8"),
        ({"scan_row": 1}, "scene='rings': scans .* are dark"),
        ({"beta_share": 1.5}, "beta_share=1.5"),
        ({"drift": float("nan")}, "drift=nan"),
    ],
)
def test_settings_without_sense_are_refused(wrong, message):
    with pytest.raises(BadParameter, match=message):
        AgipdSettings(**({"run": 1, "trains": 2} | wrong))


def test_the_truth_knows_the_photon_energy(folder, lit_files):
    assert true_photon_energy(truth_path(folder, 4, "AGIPD01")) == LIT.photon_energy
    with pytest.raises(BadInput, match="no truth of a simulation"):
        true_photon_energy(lit_files[0])


def test_lost_data_as_a_notebook_has_them():
    assert places("lost_data", ["1:20", "0:3"], 2) == ((1, 20), (0, 3))
    assert places("lost_frames", ["1:20:5"], 3) == ((1, 20, 5),)
    for text in ("1", "1:2:3", "1:-2", "a:1", ""):
        with pytest.raises(BadParameter, match="needs 2 numbers with colons"):
            places("lost_data", [text], 2)


@pytest.mark.parametrize(
    "lost", [{"lost_data": ((2, 0),)}, {"lost_data": ((1, 5),)}, {"lost_frames": ((1, 0, 32),)}]
)
def test_what_is_lost_must_be_in_the_run(lost):
    with pytest.raises(BadParameter, match="modules 3, 1, trains 0 to 4 and frames 0 to 31"):
        replace(LIT, **lost)
