"""Arrays that threads write while others compute; a disk that is full says so."""

import errno
import os
from threading import Event, Lock
from time import sleep

import numpy as np
import pytest
from correcting import correct

from calibook.runs import write_behind
from calibook.runs.direct import DirectFile, aligned_empty
from calibook.runs.write_behind import WriteBehind


def arrays(number: int) -> list[np.ndarray]:
    found = []
    for n in range(number):
        array = aligned_empty((4, 1024), "f4")
        array[:] = n
        found.append(array)
    return found


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").touch()
    return tmp_path / "file"


def test_everything_is_written_where_it_belongs(path):
    made = arrays(6)
    size = made[0].nbytes
    with DirectFile(path) as file, WriteBehind(file, lambda: False) as behind:
        for n in (3, 0, 5, 1):
            behind.put([(made[n], n * size)])
        behind.put([(made[2], 2 * size), (made[4], 4 * size)]).result()
        behind.finish()
    assert path.read_bytes() == b"".join(array.tobytes() for array in made)


def test_the_file_is_flushed_while_it_is_made(path, monkeypatch):
    monkeypatch.setattr(write_behind, "FLUSH_BYTES", (1, 1))
    flushed, small_writes = [], []
    wrote = Event()

    def flush(file):
        flushed.append(path.stat().st_size)
        assert wrote.wait(10)

    def small_write():
        small_writes.append(len(flushed))
        wrote.set()
        return len(small_writes) < 3

    monkeypatch.setattr(DirectFile, "flush", flush)
    made = arrays(3)
    with DirectFile(path) as file, WriteBehind(file, small_write) as behind:
        for n, array in enumerate(made):
            behind.put([(array, n * array.nbytes)]).result()
        behind.finish()
    assert 2 <= len(flushed) <= len(made) + 1, "after arrays, one flush at a time, and at the end"
    assert flushed[-1] == 3 * made[0].nbytes
    assert small_writes, "done while the disk is flushed"


def test_small_writes_are_done_by_one_thread_at_a_time(path, monkeypatch):
    monkeypatch.setattr(write_behind, "FLUSH_BYTES", (1, 1))
    at_work, together, left = Lock(), [], [200]

    def small_write():
        if not at_work.acquire(blocking=False):
            together.append(1)
            return False
        sleep(1e-4)
        left[0] -= 1
        at_work.release()
        return left[0] > 0

    monkeypatch.setattr(DirectFile, "flush", lambda file: sleep(2e-3))
    made = arrays(40)
    with DirectFile(path) as file, WriteBehind(file, small_write) as behind:
        for n, array in enumerate(made):
            behind.put([(array, n * array.nbytes)])
        behind.finish()
    assert left[0] < 200 and not together
    assert path.read_bytes() == b"".join(array.tobytes() for array in made)


def test_a_full_disk_is_told_and_leaves_nothing(made, tmp_path, monkeypatch):
    def full(descriptor, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "proc" / "CORR.h5"
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        correct(made, target)
    assert not list(target.parent.iterdir())
