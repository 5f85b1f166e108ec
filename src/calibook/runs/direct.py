"""Writing past the page cache, where the file system has it.

Corrected images are written once and read by somebody else. Copied into the
page cache and flushed from there, they cost a processor two passes over them.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from contextlib import suppress
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from calibook.runs.places import write_at

ALIGNMENT = 4096
"""Direct writes begin and end at multiples of it, in the file and in memory."""
_HUGE_PAGE = 2 << 20


def aligned_empty(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An uninitialised array that begins at a page of memory; in huge pages, where the system has them.

    A disk is given what is written from one page, small or huge, in one piece:
    requests of some megabytes instead of some hundred kilobytes.
    """
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    # Shared memory, which it would be without the flag, has small pages only.
    memory = mmap.mmap(-1, nbytes + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError, AttributeError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    every_byte = np.frombuffer(memory, "u1")
    start = -every_byte.__array_interface__["data"][0] % _HUGE_PAGE
    return every_byte[start : start + nbytes].view(dtype).reshape(shape)


class DirectFile:
    """A file that exists, open for writing arrays at their places, from any thread."""

    def __init__(self, path: Path):
        self._plain = os.open(path, os.O_WRONLY)
        self._direct: int | None = None
        # A file system, or a whole system, may have no such thing.
        with suppress(OSError, AttributeError):
            self._direct = os.open(path, os.O_WRONLY | os.O_DIRECT)
        self._use_direct = self._direct is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (self._plain, self._direct):
            if descriptor is not None:
                os.close(descriptor)

    def reserve(self, offset: int, nbytes: int) -> None:
        """Give a part of the file its blocks on the disk, if the file system can do that in advance.

        Where blocks are still to be found, only one thread at a time writes to the file.
        """
        system = ctypes.CDLL(None)
        if hasattr(system, "fallocate"):  # unlike posix_fallocate it never writes zeros instead
            system.fallocate(self._plain, 0, ctypes.c_int64(offset), ctypes.c_int64(nbytes))

    def flush(self) -> None:
        """Wait until everything written so far is on the disk."""
        os.fdatasync(self._plain)

    def write(self, array: np.ndarray, offset: int) -> None:
        """Write a C-contiguous array's bytes at an offset."""
        places = (offset, array.nbytes, array.__array_interface__["data"][0])
        if self._use_direct and self._direct is not None and not any(p % ALIGNMENT for p in places):
            try:
                write_at(self._direct, array, offset)
                return
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._use_direct = False
        write_at(self._plain, array, offset)
