"""Writing while others compute, with a disk that keeps up.

A disk, or the host of a virtual one, takes writes into a cache of its own and
is slow only when that has to be emptied: all at once if a file is flushed at
its end. So the file is flushed again and again while it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from time import sleep
from types import TracebackType
from typing import Self

import numpy as np

from calibook.runs.direct import DirectFile

WRITERS = 2
"""The disk is busy with one's array while the other waits for a processor, of which all compute."""
FLUSH_BYTES = (32 << 20, 256 << 20)
"""Written between two flushes: at least, if nothing else is to be written, and at most."""


class WriteBehind:
    """Threads that write arrays to a file, begun in the order in which they come; used as a context.

    meanwhile: does a small write to the same file in another way, and says whether there was one to
        do. Called again and again while the disk is flushed, by one thread at a time
    """

    def __init__(self, file: DirectFile, meanwhile: Callable[[], bool]):
        self._file, self._meanwhile = file, meanwhile
        self._writer = ThreadPoolExecutor(WRITERS, "write")
        self._flusher = ThreadPoolExecutor(1, "flush")
        self._all: list[Future[None]] = []
        self._unflushed = self._waiting = 0
        self._flushes = False
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown(cancel_futures=True)
        self._flusher.shutdown()

    def put(self, pieces: Sequence[tuple[np.ndarray, int]]) -> Future[None]:
        """Have C-contiguous arrays written at offsets; they must stay as they are until this is done.

        Any number of threads may call it. Any wait for the result raises the OSError of a failed write.
        """
        with self._lock:
            self._waiting += 1
            self._all.append(written := self._writer.submit(self._write, pieces))
        return written

    def _write(self, pieces: Sequence[tuple[np.ndarray, int]]) -> None:
        for array, offset in pieces:
            self._file.write(array, offset)
        least, most = FLUSH_BYTES
        with self._lock:
            self._waiting -= 1
            self._unflushed += sum(array.nbytes for array, _ in pieces)
            if not self._flushes and self._unflushed >= (most if self._waiting else least):
                self._flushes, self._unflushed = True, 0
                # Behind what waits already, so that who waits for these arrays gets them back now.
                self._all.append(self._writer.submit(self._flush))

    def _flush(self) -> None:
        flushed = self._flusher.submit(self._file.flush)
        while not flushed.done() and self._meanwhile():
            sleep(0)  # threads that compute need the interpreter more urgently
        flushed.result()
        self._flushes = False

    def finish(self) -> None:
        """Wait until everything that came is on the disk. Raises OSError where it can't be."""
        while self._all:  # the last of them may have asked for a flush
            self._all.pop(0).result()
        self._flush()
