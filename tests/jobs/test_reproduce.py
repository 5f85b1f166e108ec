"""A file made again from its record, or the word on what is not as it was."""

import shutil

import pytest

from calibook.errors import BadParameter, ConstantDamaged
from calibook.files import read_json, write_json
from calibook.jobs.record import record_path
from calibook.jobs.reproduce import reproduce


def all_good(constant):
    """The check of a constant that is what it was."""


@pytest.fixture
def output(ask, pretend_done, tmp_path):
    """A result with its record."""
    pretend_done(ask({"a": "some words"}).write())
    return tmp_path / "proc" / "a.h5"


def test_identical_and_put_back(output, tmp_path):
    before = output.read_bytes()
    record = record_path(output).read_bytes()
    output.unlink()
    shutil.rmtree(tmp_path / "proc" / "calibook")  # the record alone is enough
    found = reproduce(record_path(output), all_good)
    assert (found.identical, found.placed, found.differences, found.notes) == (True, True, [], [])
    assert output.read_bytes() == before
    assert record_path(output).read_bytes() == record
    assert sorted(path.name for path in output.parent.iterdir()) == ["a.h5", "a.record.json"]


def test_what_is_there_is_left_alone(output):
    output.write_text("spoilt")
    found = reproduce(output, all_good)  # the output stands for its record
    assert (found.identical, found.placed) == (True, False)
    assert "other bytes than its record says" in found.notes[0]
    assert output.read_text() == "spoilt"


def test_other_bytes_and_other_versions_are_told(output):
    record = read_json(record_path(output))
    record["blake3"] = "0" * 64
    record["software"]["numpy"] = "0.1"
    write_json(record_path(output), record)
    found = reproduce(record_path(output), all_good)
    assert (found.identical, found.differences) == (False, ["a.h5: its bytes differ"])
    assert "0.1 then" in found.notes[0]


def test_what_differs_is_named_and_nothing_is_made(output, raw, capitals, monkeypatch):
    def damaged(constant):
        raise ConstantDamaged("its content is not what was put")

    record = read_json(record_path(output))
    record["constants"] = [{"calibration": "Offset10Hz", "pdu": "Unit_1", "id": 12, "blake3": "0"}]
    write_json(record_path(output), record)
    output.unlink()
    (raw / "a.txt").write_text("other word")  # of the same size
    capitals.write_text(capitals.read_text().replace("working on", "busy with"))
    monkeypatch.setattr("calibook.jobs.reproduce._make", lambda *_: pytest.fail("something was made"))
    found = reproduce(record_path(output), damaged)
    assert not found.identical
    assert found.differences == [
        f"notebook {capitals}: it was changed since",
        f"input {raw / 'a.txt'}: its content was changed since",
        "constant Offset10Hz Unit_1 12: its content is not what was put",
    ]
    (raw / "a.txt").unlink()
    capitals.unlink()
    assert reproduce(record_path(output), all_good).differences == [
        f"notebook {capitals}: it is gone",
        f"input {raw / 'a.txt'}: No such file or directory",
    ]


@pytest.mark.parametrize("content", ["", "[]", '{"version": 2}', '{"version": 1, "output": "/x"}'])
def test_what_is_no_record(tmp_path, content):
    path = tmp_path / "a.record.json"
    path.write_text(content)
    with pytest.raises(BadParameter, match=r"a\.record\.json"):
        reproduce(path, all_good)
