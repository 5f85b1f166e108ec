"""Hashes of the files of a task, made beside its notebook.

Files are as long as what is done with them, so whoever waits for a hash waits long.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from calibook import files
from calibook.errors import BadInput


@dataclass(frozen=True)
class HashedFile:
    """A file that went into a task or came out of it, as it was when it was read.

    mtime_ns: its time stamp [ns since 1970], which saves hashing it again
    """

    path: str
    size: int
    mtime_ns: int
    blake3: str

    @property
    def unchanged(self) -> bool:
        """Whether the file now there has the same content; hashed only if its time stamp differs."""
        try:
            now = os.stat(self.path)  # noqa: PTH116 - thousands of them
            if now.st_size != self.size:
                return False
            return now.st_mtime_ns == self.mtime_ns or files.blake3(self.path) == self.blake3
        except OSError:
            return False


def hash_file(path: str) -> HashedFile:
    """Size, time stamp and hash of a file.

    Raises
    ------
    BadInput: it can't be read, or changes while it is read
    """
    try:
        before = Path(path).stat()
        blake3 = files.blake3(path)
        after = Path(path).stat()
    except OSError as error:
        raise BadInput(path, error.strerror or repr(error)) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise BadInput(path, "changed while it was read")
    return HashedFile(path, before.st_size, before.st_mtime_ns, blake3)


def refuse_changed(inputs: Sequence[HashedFile]) -> None:
    """BadInput if an input is not what it was when the task began."""
    for entry in inputs:
        try:
            now = Path(entry.path).stat()
        except OSError as error:
            raise BadInput(entry.path, f"vanished while the task ran: {error.strerror}") from error
        if (now.st_size, now.st_mtime_ns) != (entry.size, entry.mtime_ns):
            raise BadInput(entry.path, "changed while the task ran; resume when it is complete")


class TaskHashes:
    """Hashes a task's files in a thread: inputs at once, outputs as soon as they are there. A context.

    Inputs are in the system's memory then, as the notebook reads the same bytes; and a notebook
    that has written its output still has pictures to draw.
    """

    def __init__(self, inputs: Sequence[str], outputs: Sequence[str]):
        self._pool = ThreadPoolExecutor(1, "hash")
        self._inputs = [self._pool.submit(hash_file, path) for path in dict.fromkeys(inputs)]
        self._before = {path: _stamp(path) for path in outputs}
        self._early: dict[str, tuple[tuple[int, ...], Future[HashedFile]]] = {}

    def __enter__(self) -> TaskHashes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def inputs(self) -> list[HashedFile]:
        """Waits for them. Raises BadInput for what can't be read or changes meanwhile."""
        return [hashed.result() for hashed in self._inputs]

    def look(self) -> None:
        """Begin with outputs that have appeared since; what an earlier attempt left does not count."""
        for path, before in self._before.items():
            now = _stamp(path)
            if now and now != before and path not in self._early:
                self._early[path] = now, self._pool.submit(hash_file, path)

    def outputs(self) -> list[HashedFile]:
        """Waits for those of all outputs, which must be there, as they are now."""
        return [self._output(path) for path in self._before]

    def _output(self, path: str) -> HashedFile:
        stamp, hashed = self._early.get(path, ((), None))
        if hashed is not None and stamp == _stamp(path) and hashed.exception() is None:
            return hashed.result()
        try:
            return hash_file(path)
        except BadInput:  # another attempt at the task, on a node that was lost, has just replaced it
            return hash_file(path)


def _stamp(path: str) -> tuple[int, ...]:
    """What changes with a file; empty if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - asked for after each cell
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
