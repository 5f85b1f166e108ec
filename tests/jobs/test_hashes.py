"""Hashes that are made while a notebook runs are those of the files as they are in the end."""

import pytest
from blake3 import blake3

from calibook.errors import BadInput
from calibook.jobs.hashes import TaskHashes, hash_file
from calibook.jobs.record import record_path


def of(text: str) -> str:
    return blake3(text.encode()).hexdigest()


def test_outputs_are_hashed_when_they_appear(tmp_path):
    source, one, two = (tmp_path / name for name in ("source", "one", "two"))
    source.write_text("raw")
    with TaskHashes([str(source)], [str(one), str(two)]) as hashes:
        hashes.look()
        one.write_text("first")
        hashes.look()
        two.write_text("second")
        assert [file.blake3 for file in hashes.outputs()] == [of("first"), of("second")]
        assert [file.blake3 for file in hashes.inputs()] == [of("raw")]


@pytest.mark.parametrize("again", ["other", "longer than before"])
def test_an_output_that_changes_after_its_hash_is_hashed_again(tmp_path, again):
    output = tmp_path / "output"
    with TaskHashes([], [str(output)]) as hashes:
        output.write_text("first")
        hashes.look()
        (tmp_path / "new").write_text(again)
        (tmp_path / "new").replace(output)
        hashes.look()
        assert [file.blake3 for file in hashes.outputs()] == [of(again)]


def test_an_output_that_vanishes_for_a_moment(tmp_path):
    output = tmp_path / "output"
    with TaskHashes([], [str(output)]) as hashes:
        output.write_text("first")
        hashes.look()
        output.unlink()
        with pytest.raises(BadInput, match="No such file"):
            hashes.outputs()


def test_what_an_earlier_attempt_left_is_not_this_one_s(tmp_path):
    output = tmp_path / "output"
    output.write_text("of an earlier attempt")
    with TaskHashes([], [str(output)]) as hashes:
        hashes.look()
        assert not hashes._early
        assert [file.blake3 for file in hashes.outputs()] == [of("of an earlier attempt")]


def test_no_hash_hides_an_input_that_can_not_be_read(tmp_path):
    with TaskHashes([str(tmp_path / "nothing")], []) as hashes, pytest.raises(BadInput, match="No such file"):
        hashes.inputs()


def test_records_have_the_hash_of_the_file_that_is_there(ask, pretend_done):
    work = ask({"a": "aa", "b": "bb"}).write()
    pretend_done(work)
    for task in work.plan.tasks:
        for output in task.outputs:
            assert hash_file(output).blake3 in record_path(output).read_text()
