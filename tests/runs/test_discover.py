"""Which files and which detector a run has."""

from pathlib import Path

import pytest
from raw_runs import make_control, make_file

from calibook.detectors.jungfrau import JUNGFRAU
from calibook.errors import BadInput, BadParameter
from calibook.runs.discover import find_karabo_id, find_raw_files, karabo_ids, missing_files


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A run known by its names alone: the files are empty."""
    folder = tmp_path / "r0004"
    folder.mkdir()
    for name in ("JNGFR02-S00000", "JNGFR01-S00001", "JNGFR01-S00000", "JNGFRCTRL00-S00000", "DA01-S00000"):
        (folder / f"RAW-R0004-{name}.h5").touch()
    (folder / "RAW-R0005-JNGFR07-S00000.h5").touch()
    (folder / "CORR-R0004-JNGFR08-S00000.h5").touch()
    return tmp_path


def _found(files):
    return [(file.aggregator, file.module, file.sequence) for file in files]


def test_module_files_are_found_by_name_and_sorted(named):
    files = find_raw_files(named, 4, JUNGFRAU)
    assert _found(files) == [("JNGFR01", 1, 0), ("JNGFR01", 1, 1), ("JNGFR02", 2, 0)]
    assert files[0].path == named / "r0004" / "RAW-R0004-JNGFR01-S00000.h5"
    assert files[0].run == 4


def test_modules_and_sequences_can_be_chosen(named):
    assert _found(find_raw_files(named, 4, JUNGFRAU, [2])) == [("JNGFR02", 2, 0)]
    assert _found(find_raw_files(named, 4, JUNGFRAU, sequences=[1])) == [("JNGFR01", 1, 1)]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"modules": [1, 3]}, r"modules=\[1, 3\]: the run has no 3; it has 1, 2"),
        ({"sequences": [5]}, r"sequences=\[5\]: the run has no 5; it has 0, 1"),
        ({"modules": []}, r"modules=\[\].*it has 1, 2"),
        ({"modules": [2], "sequences": [1]}, r"sequences=\[1\]: the run has no 1; it has 0"),
    ],
)
def test_asking_for_what_does_not_exist_names_what_does(named, choice, message):
    with pytest.raises(BadParameter, match=message):
        find_raw_files(named, 4, JUNGFRAU, **choice)


def test_files_that_one_module_lacks_are_named(named):
    missing = missing_files(find_raw_files(named, 4, JUNGFRAU))
    assert list(missing) == [str(named / "r0004" / "RAW-R0004-JNGFR02-S00001.h5")]
    assert missing_files(find_raw_files(named, 4, JUNGFRAU, sequences=[0])) == {}


def test_a_run_without_this_detector_names_what_it_has(tmp_path):
    (tmp_path / "RAW-R0004-DA01-S00000.h5").touch()
    with pytest.raises(BadInput, match=r"no JUNGFRAU files .*DA01"):
        find_raw_files(tmp_path, 4, JUNGFRAU)


def test_the_karabo_id_comes_from_the_first_readable_file(tmp_path):
    make_file(tmp_path, module=2)
    make_control(tmp_path)
    (tmp_path / "RAW-R0004-JNGFR01-S00000.h5").write_bytes(b"no HDF5")
    files = find_raw_files(tmp_path, 4, JUNGFRAU)
    assert find_karabo_id(files, JUNGFRAU) == "FXE_XAD_JF1M"


def test_several_detectors_in_a_run_are_named_with_their_modules(tmp_path):
    for module in (1, 2):
        make_file(tmp_path, module=module)
    make_file(tmp_path, module=3, karabo_id="FXE_XAD_JF500K")
    files = find_raw_files(tmp_path, 4, JUNGFRAU)
    with pytest.raises(BadParameter, match=r"FXE_XAD_JF1M \(modules 1, 2\); FXE_XAD_JF500K \(modules 3\)"):
        find_karabo_id(files, JUNGFRAU)
    assert find_karabo_id(files, JUNGFRAU, "FXE_XAD_JF500K") == "FXE_XAD_JF500K"
    with pytest.raises(BadParameter, match=r"karabo_id='FXE_XAD_JF4M': .*FXE_XAD_JF1M \(modules 1, 2\)"):
        find_karabo_id(files, JUNGFRAU, "FXE_XAD_JF4M")
    assert karabo_ids(files, JUNGFRAU) == {"FXE_XAD_JF1M": [1, 2], "FXE_XAD_JF500K": [3]}


def test_no_readable_file_and_no_matching_source_are_bad_input(tmp_path):
    path = tmp_path / "RAW-R0004-JNGFR01-S00000.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(BadInput, match=r"JNGFR01-S00000.h5: no file of the run is readable"):
        find_karabo_id(find_raw_files(tmp_path, 4, JUNGFRAU), JUNGFRAU)
    make_control(tmp_path).rename(path)
    with pytest.raises(BadInput, match=r"no source is named like .*CONTROL/FXE_XAD_JF1M/DET/CONTROL"):
        find_karabo_id(find_raw_files(tmp_path, 4, JUNGFRAU), JUNGFRAU)
