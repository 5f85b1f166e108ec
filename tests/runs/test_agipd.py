"""AGIPD's files and conditions, against EXtra-data's and EXtra's reading of the same."""

import h5py
import numpy as np
import pytest
from agipd_runs import (
    COMPOSITE_VALUES,
    CONTROL,
    KARABO_ID,
    SMALL,
    SUPPLY,
    SUPPLY_VALUES,
    make_control,
    make_file,
)  # fmt: skip
from raw_runs import replace_dataset

from calibook.detectors.agipd import AGIPD
from calibook.errors import BadInput
from calibook.runs.conditions import read_conditions
from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.raw_file import open_raw

COUNTS = [3, 0, 5, 1]


def extra_conditions(folder):
    from extra.calibration import AGIPDConditions
    from extra_data import RunDirectory

    fpgas = [f"{CONTROL}/FPGA/M_{i}" for i in range(16)]
    xtdf = [f"{KARABO_ID}/DET/{i}CH0:xtdf" for i in range(16)]
    with RunDirectory(folder) as data:
        return AGIPDConditions.from_data(
            data, KARABO_ID, fpga_comp=f"{CONTROL}/MDL/FPGA_COMP", mpod=SUPPLY, fpga_control=fpgas, xtdf=xtdf
        )


def without(*keys):
    return {key: value for key, value in COMPOSITE_VALUES.items() if key not in keys}


_FROM_PULSES = "no rate: from pulse IDs"
FPGAS = {
    f"{CONTROL}/FPGA/M_{i}": {"highVoltage.target": np.float32(v)} for i, v in enumerate([5e9, 200, 300])
}
CASES = {
    "usual": (COMPOSITE_VALUES, None),
    "fixed gain, long integration": (
        {**COMPOSITE_VALUES, "gainModeIndex": np.int32(2), "integrationTime": np.int32(20)},
        None,
    ),
    "no integration time": (without("integrationTime"), None),
    _FROM_PULSES: (without("bunchStructure.repetitionRate"), None),
    "legacy 0": ({**without("gain"), "setupr": np.uint32(32), "patternTypeIndex": np.uint32(4)}, None),
    "legacy 1": ({**without("gain"), "setupr": np.uint32(8), "patternTypeIndex": np.uint32(1)}, None),
    "one module off": (COMPOSITE_VALUES, {SUPPLY: {**SUPPLY_VALUES, "channels.U0.voltage": np.float32(0)}}),
    "all off": (COMPOSITE_VALUES, {SUPPLY: {"channels.U0.voltage": np.float32(0)}}),
    "second generation": (
        COMPOSITE_VALUES,
        {f"{CONTROL}/FPGA/M_1": {"highVoltage.target": np.float32(200)}},
    ),
}


@pytest.mark.parametrize(("case", "step"), [(c, 2) for c in CASES] + [(_FROM_PULSES, n) for n in (1, 4, 8)])
def test_conditions_are_those_that_extra_derives(tmp_path, case, step):
    values, supply = CASES[case]
    make_file(tmp_path, COUNTS, step=step)
    make_control(tmp_path, values, supply)
    found = read_conditions(tmp_path, 4, AGIPD)
    assert (found.karabo_id, found.control_source) == (KARABO_ID, f"{CONTROL}/MDL/FPGA_COMP")
    theirs = extra_conditions(tmp_path)
    assert set(theirs.calibration_types) >= set(AGIPD.constants)
    for calibration in AGIPD.constants:
        expected = theirs.make_dict(theirs.calibration_types[calibration])
        assert AGIPD.conditions_of(calibration, found.conditions) == expected


def test_an_absurd_voltage_of_one_fpga_is_passed_over(tmp_path):
    make_file(tmp_path, COUNTS)
    make_control(tmp_path, supply=FPGAS)
    assert read_conditions(tmp_path, 4, AGIPD).conditions["Sensor Bias Voltage"] == 200


def test_memory_cells_from_the_cells_seen(tmp_path):
    make_file(tmp_path, [12])
    make_control(tmp_path, without("bunchStructure.nPulses"))
    # the last cell is 3 * 11 + 1 = 34
    assert read_conditions(tmp_path, 4, AGIPD).conditions["Memory cells"] == 64


@pytest.mark.parametrize(
    ("values", "supply", "complaint"),
    [
        (without("gainModeIndex"), None, "missing: .*gainModeIndex"),
        (without("gain"), None, "missing: .*patternTypeIndex"),
        ({**without("gain"), "setupr": np.uint32(9), "patternTypeIndex": np.uint32(1)}, None, "setupr=9"),
        (COMPOSITE_VALUES, {}, "no high voltage: neither SPB_IRU_AGIPD1M/PSC/HV nor SPB_IRU_AGIPD1M1/FPGA"),
    ],
)
def test_what_can_not_be_derived_is_named(tmp_path, values, supply, complaint):
    make_file(tmp_path, COUNTS)
    make_control(tmp_path, values, supply)
    with pytest.raises(BadInput, match=complaint):
        read_conditions(tmp_path, 4, AGIPD)


def test_a_value_that_changes_within_the_run_is_refused(tmp_path):
    make_file(tmp_path, COUNTS)
    with h5py.File(make_control(tmp_path), "r+") as f:
        f[f"CONTROL/{CONTROL}/MDL/FPGA_COMP/gainModeIndex/value"][3] = 1
    with pytest.raises(BadInput, match="gainModeIndex changes within the run, from 0 to 1"):
        read_conditions(tmp_path, 4, AGIPD)


def test_a_run_without_the_composite_tells_how_to_name_it(tmp_path):
    make_file(tmp_path, COUNTS)
    with pytest.raises(BadInput, match=r"no control source .*MDL/FPGA_COMP.*--control-source"):
        read_conditions(tmp_path, 4, AGIPD)


def test_frames_come_back_with_both_planes(tmp_path):
    made = make_file(tmp_path, COUNTS)
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        assert (raw.n_frames, raw.frames_per_train, raw.image_shape) == (9, 5, (16, 32))
        images = np.concatenate([block.images["data"].copy() for block in raw.blocks(4)])
        np.testing.assert_array_equal(images.reshape(made.data.shape), made.data)
        np.testing.assert_array_equal(raw.ids("pulseId"), made.pulses)
        np.testing.assert_array_equal(np.concatenate([b.cells for b in raw.blocks(4)]), made.cells)


@pytest.mark.parametrize("shape", [(9, 16, 32), (9, 1, 16, 32), (9, 2, 32, 16)])
def test_another_shape_of_frames_is_refused(tmp_path, shape):
    path = make_file(tmp_path, COUNTS).path
    replace_dataset(path, f"INSTRUMENT/{KARABO_ID}/DET/0CH0:xtdf/image/data", data=np.zeros(shape, "u2"))
    with pytest.raises(BadInput, match=r"expected \(frames, 2, 16, 32\)"):
        open_raw(path, SMALL, KARABO_ID)


def corrected_arrays(data):
    """A stand-in for a correction, by frame."""
    flat = data.reshape(len(data), 2, -1)
    return flat[:, 0].astype("f4") / 7, (flat[:, 1] % 3).astype("u1"), (flat[:, 0] % 5).astype("u4")


def write_corrected(made, target, detector):
    with open_raw(made.path, detector, KARABO_ID) as raw, CorrectedWriter(target, raw, detector) as writer:
        for block in raw.blocks(4):
            data = block.images["data"].reshape(block.frames, 2, *detector.module_shape)
            writer.write(block, *corrected_arrays(data), blShift=block.entries.astype("f4"))


def test_corrected_runs_are_what_extra_data_expects(tmp_path):
    """Varying frames per train, two sequences, modules missing for good and for a train."""
    from extra_data import RunDirectory
    from extra_data.components import AGIPD1M
    from extra_data.validation import FileValidator, RunValidator, _open_file

    made = {}
    for module, sequence in [(0, 0), (0, 1), (3, 0), (3, 1)]:
        counts = [0, *COUNTS[1:]] if module == 3 and sequence == 0 else COUNTS
        made[module, sequence] = m = make_file(tmp_path / "raw", counts, module, sequence, AGIPD)
        shift_train_ids(m.path, sequence * len(COUNTS))
        write_corrected(m, tmp_path / "proc" / m.path.name.replace("RAW", "CORR"), AGIPD)
    for path in (tmp_path / "proc").iterdir():
        access, problems = _open_file(str(path))
        assert problems == [] and FileValidator(access).run_checks() == []
        access.close()
    assert RunValidator(str(tmp_path / "proc")).run_checks() == []
    with RunDirectory(tmp_path / "proc") as run:
        detector = AGIPD1M(run)
        for number, key in enumerate(("data", "gain", "mask")):
            found = detector[f"image.{key}"].ndarray(fill_value=0)
            assert found.shape == (2, 18, 512, 128)
            everything = np.concatenate([made[0, 0].data, made[0, 1].data])
            np.testing.assert_array_equal(
                found[0], corrected_arrays(everything)[number].reshape(found[0].shape)
            )
            assert not found[1, :3].any() and found[1, 3:].any()
        labelled = detector["image.data"].xarray()
        np.testing.assert_array_equal(labelled.pulse, np.tile(made[0, 0].pulses, 2))
        source = run[f"{KARABO_ID}/CORR/0CH0:output"]
        np.testing.assert_array_equal(source["image.blShift"].ndarray(), np.tile(np.arange(9, dtype="f4"), 2))
        assert source["image.cellId"].ndarray().shape == (18,)
        detector.write_virtual_cxi(tmp_path / "run.cxi")
    with h5py.File(tmp_path / "run.cxi") as f:
        images = f["entry_1/instrument_1/detector_1/data"]
        assert images.shape == (18, 16, 512, 128)
        expected = corrected_arrays(made[0, 0].data[:1])[0].reshape(512, 128)
        np.testing.assert_array_equal(images[0, 0], expected)


def shift_train_ids(path, by):
    with h5py.File(path, "r+") as f:
        f["INDEX/trainId"][...] += np.uint64(by)


def test_values_per_frame_must_be_given(tmp_path):
    made = make_file(tmp_path, COUNTS)
    target = tmp_path / "CORR-R0004-AGIPD00-S00000.h5"
    with (
        pytest.raises(ValueError, match="needs \\['blShift'\\], got \\[\\]"),
        open_raw(made.path, SMALL, KARABO_ID) as raw,
        CorrectedWriter(target, raw, SMALL) as writer,
    ):
        block = next(raw.blocks(4))
        writer.write(block, *corrected_arrays(made.data[:4]))
    assert not target.exists()


def test_selected_frames_are_all_that_a_corrected_file_has(tmp_path):
    """Even pulses only, read cell by cell and written in that order."""
    made = make_file(tmp_path, COUNTS)
    target = tmp_path / "CORR-R0004-AGIPD00-S00000.h5"
    keep = made.pulses % 4 == 0
    with open_raw(made.path, SMALL, KARABO_ID) as raw:
        raw.select(keep)
        assert (raw.n_frames, raw.frames_per_train) == (6, 3)
        assert raw.count.tolist() == [2, 0, 3, 1]
        cells = raw.ids("cellId")
        np.testing.assert_array_equal(cells, made.cells[keep])
        with CorrectedWriter(target, raw, SMALL) as writer:
            for block in raw.blocks(4, np.argsort(cells, kind="stable")):
                np.testing.assert_array_equal(block.cells, cells[block.entries])
                data = block.images["data"].reshape(-1, 2, *SMALL.module_shape)
                writer.write(block, *corrected_arrays(data), blShift=block.entries.astype("f4"))
    with h5py.File(target) as f:
        group = f[f"INSTRUMENT/{KARABO_ID}/CORR/0CH0:output/image"]
        expected = corrected_arrays(made.data[keep])
        for key, values in zip(("data", "gain", "mask"), expected, strict=True):
            np.testing.assert_array_equal(group[key], values.reshape(6, 16, 32))
        np.testing.assert_array_equal(group["blShift"], np.arange(6))
        np.testing.assert_array_equal(group["pulseId"], made.pulses[keep])
        index = f[f"INDEX/{KARABO_ID}/CORR/0CH0:output/image"]
        assert index["count"][()].tolist() == [2, 0, 3, 1] and index["first"][()].tolist() == [0, 2, 2, 5]


def test_a_selection_of_nothing_is_refused(tmp_path):
    made = make_file(tmp_path, COUNTS)
    with open_raw(made.path, SMALL, KARABO_ID) as raw, pytest.raises(BadInput, match="none of its frames"):
        raw.select(np.zeros(9, bool))
