"""Folders of kernels' sockets: private, short, and gone with their owners."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from calibook.procedures import sockets

OWNER = """
import sys
from pathlib import Path
from calibook.procedures.sockets import socket_folder
with socket_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where the folders of this test and of its processes are made."""
    monkeypatch.setattr(sockets, "LONGEST_FOLDER", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_private_and_short(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with sockets.socket_folder() as folder:
        assert len(str(folder)) <= sockets.LONGEST_FOLDER
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_what_a_killed_process_left_goes_with_the_next_folder():
    parent = Path(tempfile.mkdtemp(prefix="sock-"))
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "TMPDIR": str(parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = Path(owner.stdout.readline().strip())
    (folder / "ipython").mkdir()
    assert folder.parent == parent
    sockets.remove_left_over(parent)
    assert folder.exists()  # its owner lives
    owner.kill()
    owner.communicate()
    assert folder.exists()
    sockets.remove_left_over(parent)
    parent.rmdir()  # fails if anything was left


def test_nobody_elses_folders_are_touched(scratch, monkeypatch):
    for name in ("calibook-check-abc", "calibook-numba-0-1", "calibook-kernel-abc"):
        (scratch / name).mkdir()
    (scratch / "calibook-kernel-file").touch()
    (scratch / "calibook-kernel-link").symlink_to("calibook-check-abc")
    before = sorted(scratch.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: os.geteuid() + 1)
        with sockets.socket_folder() as folder:
            assert sorted(scratch.iterdir()) == sorted([*before, folder])
    with sockets.socket_folder() as folder:
        assert {path.name for path in scratch.iterdir()} == {p.name for p in [*before, folder]} - {
            "calibook-kernel-abc"
        }


def test_many_who_start_at_once_keep_their_folders(scratch):
    def own(_):
        stack = ExitStack()
        return stack, stack.enter_context(sockets.socket_folder())

    with ThreadPoolExecutor(16) as pool:
        owned = list(pool.map(own, range(64)))
    assert len({folder for _, folder in owned}) == 64
    assert all(folder.is_dir() for _, folder in owned)
    for stack, _ in owned:
        stack.close()
    assert not list(scratch.iterdir())


def test_a_folder_taken_for_a_left_over_before_it_is_locked_is_made_again(scratch, monkeypatch):
    lock, taken = fcntl.flock, []

    def late(descriptor, how):
        if how == fcntl.LOCK_EX and not taken:  # somebody is faster
            monkeypatch.setattr(fcntl, "flock", lock)
            taken.extend(scratch.iterdir())
            sockets.remove_left_over(scratch)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with sockets.socket_folder() as folder:
        assert folder.is_dir()
        assert [*scratch.iterdir()] == [folder]
    assert len(taken) == 1
