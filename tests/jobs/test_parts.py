"""Unfinished files: whose they are, and who may remove them."""

import os

import pytest

from calibook import files
from calibook.files import part_path, remove_parts, remove_parts_in


@pytest.fixture
def elsewhere(monkeypatch):
    """Pretend to be another machine for a moment: `elsewhere(call)`."""

    def pretend(call):
        with monkeypatch.context() as patched:
            files._machine.cache_clear()
            patched.setattr(files.socket, "gethostname", lambda: "another-node")
            found = call()
        files._machine.cache_clear()
        return found

    yield pretend
    files._machine.cache_clear()


def part_of(target, pid):
    path = part_path(target)
    dead = path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{pid}-"))
    dead.write_text("half")
    return dead


def test_dead_ones_go_and_living_ones_stay(tmp_path, elsewhere):
    target = tmp_path / "odd [name]*.h5"
    mine, dead = part_of(target, os.getpid()), part_of(target, 2**22 + 1)
    other = elsewhere(lambda: part_of(target, 2**22 + 1))  # no such process here, but perhaps there
    remove_parts(target)
    assert (mine.exists(), dead.exists(), other.exists()) == (True, False, True)
    remove_parts_in(tmp_path)
    assert other.exists()
    assert elsewhere(lambda: remove_parts(target)) is None
    assert not other.exists()


def test_what_another_machine_left_goes_when_all_is_over_or_after_a_day(tmp_path, elsewhere):
    target = tmp_path / "a.h5"
    other = elsewhere(lambda: part_of(target, 1))
    remove_parts(target, all_dead=True)
    assert not other.exists()
    other = elsewhere(lambda: part_of(target, 1))
    os.utime(other, (1e9, 1e9))
    remove_parts_in(tmp_path)
    assert not other.exists()


def test_two_writers_have_two_names(tmp_path):
    assert part_path(tmp_path / "a") != part_path(tmp_path / "a")
