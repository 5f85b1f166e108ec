"""One runner at a time in a work folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calibook.errors import CalibookError

NAME = "runner.lock"


@contextmanager
def alone(lock_file: Path) -> Iterator[None]:
    """Wait until nobody else is in such a block with this lock file; for moments only."""
    with open(lock_file, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Locked(CalibookError):
    """Another process runs the tasks of this work folder."""

    cause = "bad parameter"


@contextmanager
def hold(folder: Path) -> Iterator[int]:
    """Be the only one who runs or submits tasks of a work folder, which is made if need be.

    The system frees the lock when its holder ends, however it ends. Gives the
    lock's file descriptor: a child that inherits it holds the lock too.

    Raises
    ------
    Locked: another process is at it; says which, and where it runs
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / NAME, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Locked(
                f"{folder}: {holder} works on this request now; wait for it or stop it. "
                f"How far it is: calibook status {folder}"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield file.fileno()
        file.truncate(0)
