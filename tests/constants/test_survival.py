"""Many writers at once, killed writers, a lost or damaged index."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from calibook.constants import Store, index
from calibook.constants import store as store_module
from calibook.errors import ConstantDamaged

WRITERS = 8
fork = multiprocessing.get_context("fork")


def run_together(targets):
    """Start one process per (function, arguments), wait for all, give their exit codes."""
    processes = [fork.Process(target=function, args=arguments) for function, arguments in targets]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def put_several(folder: Path, barrier, writer: int, offset, facts) -> None:
    """Put one constant that all writers put, and three of this writer's own."""
    barrier.wait(30)
    store = Store(folder)
    store.put(offset, **facts)
    for i in range(3):
        store.put(offset + 10 * writer + i + 1, **facts)


def test_eight_writers_lose_nothing(store, offset, facts):
    barrier = fork.Barrier(WRITERS)
    writers = [(put_several, (store.folder, barrier, i, offset, facts)) for i in range(WRITERS)]
    assert run_together(writers) == [0] * WRITERS
    entries = store.entries()
    assert len(entries) == 1 + 3 * WRITERS == len({c.blake3 for c in entries})
    assert {c.path for c in entries} == files_in(store)
    assert store.verify() == [] and not list(store.folder.rglob("*.part"))
    # The names carry the order in which constants were put.
    assert [c.path for c in entries] == sorted(c.path for c in entries)


def assign_one(folder: Path, barrier, i: int) -> None:
    barrier.wait(30)
    Store(folder).assign("FXE_XAD_JF1M", f"JNGFR{i:02d}", f"M{i}", "2026-01-01")


def test_units_assigned_at_once_are_all_kept(store):
    barrier = fork.Barrier(WRITERS)
    assert run_together([(assign_one, (store.folder, barrier, i)) for i in range(WRITERS)]) == [0] * WRITERS
    assert [a.pdu for a in store.assignments()] == [f"M{i}" for i in range(WRITERS)]


def files_in(store) -> set[str]:
    return {p.relative_to(store.folder).as_posix() for p in store.folder.glob("xfel/cal/*/*/*.h5")}


def kill_myself(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def put_and_die(folder: Path, before: str, offset, facts) -> None:
    """Be killed just before the file gets its name, before its row, or before the row is made durable."""
    if before == "file":
        store_module.put_in_place = kill_myself
    elif before == "row":
        index.insert = kill_myself
    else:
        insert = index.insert
        index.insert = lambda db, constant: (insert(db, constant), kill_myself())
    Store(folder).put(offset, **facts)


@pytest.mark.parametrize("before, left", [("file", 0), ("row", 1), ("commit", 1)])
def test_a_killed_writer_leaves_the_store_consistent(store, offset, facts, asked, before, left):
    kept = store.put(offset - 1, **{**facts, "begin": "2020-01-01"})
    assert run_together([(put_and_die, (store.folder, before, offset, facts))]) == [-signal.SIGKILL]
    assert store.entries() == [kept] and store.verify() == [] and store.find(**asked) == kept
    orphans = files_in(store) - {kept.path}
    assert len(orphans) == left
    c = store.put(offset, **facts)
    # What the killed writer left whole is taken, not doubled.
    assert orphans <= {c.path}
    assert files_in(store) == {kept.path, c.path} and store.verify() == []
    assert store.find(**asked) == c and np.array_equal(store.load(c), offset)


def test_reindex_takes_in_what_a_killed_writer_left(store, offset, facts, asked):
    run_together([(put_and_die, (store.folder, "row", offset, facts))])
    assert store.find(**asked) is None
    assert store.rebuild_index() == []
    assert np.array_equal(store.load(store.find(**asked)), offset)


def several(store, offset, facts):
    return [
        store.put(offset + i, **{**facts, "pdu": f"M{i % 2}"}, description=f"number {i}") for i in range(5)
    ]


def lose_index(store) -> None:
    for file in store.folder.glob("index.sqlite*"):
        file.unlink()


def test_a_lost_index_is_noticed_and_made_anew(store, offset, facts):
    constants = several(store, offset, facts)
    store.freeze("paper", [2, 4])
    lose_index(store)
    for use in (store.entries, lambda: store.put(offset, **facts)):
        with pytest.raises(ConstantDamaged, match="reindex"):
            use()
    assert store.rebuild_index() == []
    assert store.entries() == constants  # ids too
    assert store.frozen_sets() == {"paper": [2, 4]}
    assert store.put(offset, **{**facts, "pdu": "M0"}) == constants[0]


@pytest.mark.parametrize("how", ["text", "empty", "middle"])
def test_a_damaged_index_is_noticed_and_made_anew(store, offset, facts, how):
    constants = several(store, offset, facts)
    file = store.folder / "index.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes({"text": b"no database" * 500, "empty": b"", "middle": bytes(content)}[how])
    with pytest.raises(ConstantDamaged, match="reindex"):
        store.entries()
    assert store.rebuild_index() == []
    assert store.entries() == constants and store.verify() == []


def test_reindex_keeps_ids_after_files_were_removed(store, offset, facts):
    constants = several(store, offset, facts)
    constants[1].file.unlink()
    problems = store.rebuild_index()
    assert len(problems) == 1 and constants[1].path in problems[0]
    assert store.entries() == [c for c in constants if c.id != 2]
    assert store.put(offset + 99, **facts).id == 6  # an id is never used again


def test_reindex_keeps_the_row_of_a_damaged_file(store, offset, facts):
    """Else an older constant would quietly take its place."""
    c = store.put(offset, **facts)
    content = c.file.read_bytes()
    c.file.write_bytes(content.replace(offset.tobytes()[:8], bytes(8)))
    assert "content" in store.rebuild_index()[0]
    assert store.entries() == [c]
    lose_index(store)
    assert len(store.rebuild_index()) == 1 and store.entries() == []


def test_reindex_takes_a_copied_file_once(store, offset, facts):
    c = store.put(offset, **facts)
    c.file.with_name("cal.1.5.h5").write_bytes(c.file.read_bytes())
    assert "already" in store.rebuild_index()[0]
    assert store.entries() == [c]


def test_reindex_removes_what_was_abandoned(store, offset, facts):
    folder = store.put(offset, **facts).file.parent
    old, fresh = folder / ".cal.1-a.part", folder / ".cal.1-b.part"
    for part in (old, fresh):
        part.write_bytes(b"")
    os.utime(old, (0, 0))
    assert store.rebuild_index() == []
    assert not old.exists() and fresh.exists()
