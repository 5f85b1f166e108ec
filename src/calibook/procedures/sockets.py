"""Folders for the sockets of kernels, on the node's own disk; none outlives its owner for long.

The owner of a folder holds a lock on it, which the system takes back however the
owner ends, `kill -9` included, and which is seen from other containers too. So a
folder without a lock was left by a process that was killed, and whoever next
runs a notebook on this node, the next attempt or the summary, removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER_PREFIX = "calibook-kernel-"
# An AF_UNIX address holds 108 bytes on Linux; the name in the folder needs 20.
LONGEST_FOLDER = 80


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder for a kernel's sockets that only this user can enter, gone when the block ends.

    Also removes what killed processes of this user left on this node.
    """
    parent = _parent()
    remove_left_over(parent)
    folder, lock = _make_locked(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_left_over(parent: Path | None = None) -> None:
    """Remove this user's folders whose owners are gone.

    parent: where to look; None: where `socket_folder` makes them
    """
    for folder in (parent or _parent()).glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or removed meanwhile
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.getuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _parent() -> Path:
    """The folder for temporary files, or /tmp if its name is too long for an address."""
    parent = Path(tempfile.gettempdir())
    room = len(os.fsencode(parent / FOLDER_PREFIX)) + len("12345678")  # what mkdtemp adds
    return parent if room <= LONGEST_FOLDER else Path("/tmp")


def _make_locked(parent: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent))
        # In the moment before it is locked it may be taken for a left-over.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks: nobody else will get one either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)
