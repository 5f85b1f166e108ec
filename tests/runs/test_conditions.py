"""Conditions of a run, against EXtra's derivation of the same."""

from datetime import UTC, datetime

import numpy as np
import pytest
from raw_runs import CONTROL_VALUES, KARABO_ID, make_control, make_file

from calibook.detectors.jungfrau import JUNGFRAU
from calibook.errors import BadInput, BadParameter
from calibook.runs.conditions import read_conditions

CONTROL = f"{KARABO_ID}/DET/CONTROL"


@pytest.fixture
def run(tmp_path):
    """A run of one module and its control device, in folder r0004."""
    make_file(tmp_path / "r0004")
    make_control(tmp_path / "r0004")
    return tmp_path


def _contents(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_conditions_start_and_names_of_a_run(run):
    found = read_conditions(run, 4, JUNGFRAU)
    assert found.karabo_id == KARABO_ID
    assert found.control_source == CONTROL
    # START_NS of raw_runs, to the microsecond
    assert found.start == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert found.conditions["Sensor Bias Voltage"] == 180
    assert found.conditions["Memory Cells"] == 16


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"settings": "gain0", "gainMode": "dynamic"},
        {"settings": "gain0", "gainMode": "fixg2", "exposureTimeout": np.uint32(40)},
        {"storageCells": np.int16(0), "exposureTime": np.float32(4.7e-6)},
        {"gainMode": None, "settings": "dynamichg0"},
        {"highVoltage": None, "vHighVoltage": np.full(1000, 90, "u4")},
    ],
)
def test_conditions_are_those_that_extra_derives(tmp_path, changes):
    from extra.calibration import JUNGFRAUConditions
    from extra_data import H5File

    values = {k: v for k, v in {**CONTROL_VALUES, **changes}.items() if v is not None}
    make_file(tmp_path)
    path = make_control(tmp_path, values)
    ours = read_conditions(tmp_path, 4, JUNGFRAU).conditions
    with H5File(path) as data:
        theirs = JUNGFRAUConditions.from_data(data, KARABO_ID, control=CONTROL)
    for calibration, names in JUNGFRAUConditions.calibration_types.items():
        assert JUNGFRAU.conditions_of(calibration, ours) == theirs.make_dict(names)


def test_reading_conditions_leaves_the_raw_folder_as_it_was(run):
    before = _contents(run / "r0004")
    read_conditions(run, 4, JUNGFRAU)
    assert _contents(run / "r0004") == before


def test_damaged_files_are_passed_over(run):
    good = make_file(run / "r0004", sequence=1).path
    make_control(run / "r0004").rename(run / "r0004" / "RAW-R0004-JNGFRCTRL00-S00001.h5")
    for name in ("JNGFR01", "JNGFRCTRL00", "DA01"):
        (run / "r0004" / f"RAW-R0004-{name}-S00000.h5").write_bytes(good.read_bytes()[:3000])
    found = read_conditions(run, 4, JUNGFRAU)
    assert found.karabo_id == KARABO_ID
    assert found.conditions["Gain mode"] == 2


def test_a_control_source_can_lie_in_any_file_and_be_named(run):
    control = make_control(run / "r0004", {**CONTROL_VALUES, "gainMode": "fixg2"}, karabo_id="OTHER")
    control.rename(run / "r0004" / "RAW-R0004-DA01-S00000.h5")
    make_control(run / "r0004")
    found = read_conditions(run, 4, JUNGFRAU, control_source="OTHER/DET/CONTROL")
    assert found.control_source == "OTHER/DET/CONTROL"
    assert found.conditions["Gain mode"] == 3
    assert found.karabo_id == KARABO_ID


def test_a_missing_control_source_tells_which_exist_and_how_to_name_one(tmp_path):
    make_file(tmp_path)
    make_control(tmp_path, karabo_id="FXE_XAD_JF2M")
    with pytest.raises(BadInput) as error:
        read_conditions(tmp_path, 4, JUNGFRAU)
    for part in (CONTROL, "FXE_XAD_JF2M/DET/CONTROL", "--control-source"):
        assert part in str(error.value)
    with pytest.raises(BadParameter, match=r"control_source='FXE/X': .*FXE_XAD_JF2M/DET/CONTROL"):
        read_conditions(tmp_path, 4, JUNGFRAU, control_source="FXE/X")


def test_missing_or_strange_values_are_named(tmp_path):
    make_file(tmp_path)
    make_control(tmp_path, {k: v for k, v in CONTROL_VALUES.items() if k != "storageCells"})
    with pytest.raises(BadInput, match=r"missing: .*storageCells"):
        read_conditions(tmp_path, 4, JUNGFRAU)
    make_control(tmp_path, {**CONTROL_VALUES, "gainMode": "sideways"})
    with pytest.raises(BadInput, match="gainMode=sideways"):
        read_conditions(tmp_path, 4, JUNGFRAU)


def test_a_run_without_readable_files_or_times_is_bad_input(tmp_path):
    (tmp_path / "RAW-R0004-JNGFR01-S00000.h5").write_bytes(b"")
    with pytest.raises(BadInput, match="no file of run 4 is readable"):
        read_conditions(tmp_path, 4, JUNGFRAU, karabo_id=KARABO_ID)
    control = make_control(tmp_path)
    import h5py

    with h5py.File(control, "r+") as f:
        f["INDEX/timestamp"][:] = 0
    with pytest.raises(BadInput, match="when its trains were taken"):
        read_conditions(tmp_path, 4, JUNGFRAU, karabo_id=KARABO_ID)
