"""Names of files and folders."""

import pytest

from calibook.errors import BadParameter
from calibook.runs.names import FileName, corrected_name, parse_file_name, run_folder


def test_a_name_is_parsed_and_put_together_again():
    name = parse_file_name("/somewhere/RAW-R0004-JNGFR01-S00012.h5")
    assert name == FileName("RAW", 4, "JNGFR01", 12)
    assert str(name) == "RAW-R0004-JNGFR01-S00012.h5"
    assert str(corrected_name(name)) == "CORR-R0004-JNGFR01-S00012.h5"


@pytest.mark.parametrize(
    "text",
    [
        "overview.h5",
        "RAW-R0004-JNGFR01.h5",
        "RAW-R4-JNGFR01-S00000.h5",
        "raw-R0004-JNGFR01-S00000.h5",
        ".RAW-R0004-JNGFR01-S00000.h5.12-ab.part",
        "RAW-R0004-JNGFR01-S00000.h5.bak",
        "RAW-R0004-../x-S00000.h5",
        "RAW-R0004-JNGFR01-S00000.h5\n",
    ],
)
def test_other_names_are_not_a_runs(text):
    assert parse_file_name(text) is None


def test_a_run_lies_in_its_folder_or_directly_in_the_input_folder(tmp_path):
    folder = tmp_path / "r0004"
    folder.mkdir()
    (folder / "RAW-R0004-JNGFR01-S00000.h5").touch()
    assert run_folder(tmp_path, 4) == folder
    assert run_folder(folder, 4) == folder


def test_a_missing_run_tells_what_was_looked_for_and_what_exists(tmp_path):
    (tmp_path / "r0007").mkdir()
    (tmp_path / "RAW-R0009-JNGFR01-S00000.h5").touch()
    (tmp_path / "r0004").mkdir()  # exists, but empty
    with pytest.raises(
        BadParameter, match=r"run=4: .* no files of it.*r0004/RAW-R0004-\*.h5.*runs here: 4, 7, 9"
    ):
        run_folder(tmp_path, 4)


def test_a_missing_input_folder_is_named(tmp_path):
    with pytest.raises(BadParameter, match=r"in_folder='.*nowhere': no such folder"):
        run_folder(tmp_path / "nowhere", 4)
    (tmp_path / "file").touch()
    with pytest.raises(BadParameter, match="not a folder"):
        run_folder(tmp_path / "file", 4)
