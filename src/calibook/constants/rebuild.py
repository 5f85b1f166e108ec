"""The index made anew from the files, and files that a killed process left without a row."""

from __future__ import annotations

import re
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from calibook.constants import index
from calibook.constants.entry import Constant
from calibook.constants.file import content_hash, folder_of, identity, read_file
from calibook.errors import BadInput, ConstantDamaged
from calibook.files import PART_SUFFIX

_NAME = re.compile(r"cal\.(\d+)\.(\d+)\.h5")
# Nobody writes one constant for so long: the writer was killed.
_ABANDONED_SECONDS = 24 * 3600


def injected_micros(name: str) -> int:
    """Time of injection in a file name, in microseconds; 0 if it has none."""
    found = _NAME.fullmatch(name)
    return int(found[1]) * 1_000_000 + int(found[2].ljust(6, "0")[:6]) if found else 0


def unindexed_like(db: sqlite3.Connection, folder: Path, draft: Constant) -> Constant | None:
    """A whole file with the content of `draft` that has no row: its writer was killed in between."""
    where = folder_of(draft.detector_type, draft.pdu)
    indexed = {
        row["path"] for row in db.execute("SELECT path FROM constant WHERE path LIKE ?", (f"{where}/%",))
    }
    for file in sorted((folder / where).glob("cal.*.h5")):
        path = file.relative_to(folder).as_posix()
        if path in indexed:
            continue
        try:
            found = checked_file(folder, path)
        except BadInput:
            continue
        if identity(found) == identity(draft):
            return found
    return None


def checked_file(folder: Path, path: str) -> Constant:
    """What a file describes (id 0); BadInput if its array is not the one that was written."""
    found, array = read_file(folder, path)
    if content_hash(array, found.dims) != found.blake3:
        raise BadInput(folder / path, "the array's content is not what was put")
    return found


def rebuild_index(target: index.Index) -> list[str]:
    """Replace all rows by what the files say; what is wrong, one text each.

    The row of a damaged file stays: without it `find` would quietly give an
    older constant. The row of a missing file goes.
    """
    _put_aside_if_damaged(target)
    with target.writing() as db:
        known = {c.path: c for c in index.select(db, target.folder)}
        files = _files(target.folder)
        problems = [f"{target.folder / path}: the file is missing" for path in known.keys() - set(files)]
        db.execute("DELETE FROM constant")
        # Entries that keep their id first, so that no new one takes it.
        for path in sorted(files, key=lambda p: (p not in known, injected_micros(Path(p).name), p)):
            problems += _enter(db, target.folder, path, known.get(path))
    _remove_abandoned(target.folder)
    return sorted(problems)


def _enter(db: sqlite3.Connection, folder: Path, path: str, known: Constant | None) -> list[str]:
    problems = []
    try:
        found = replace(checked_file(folder, path), id=known.id if known else 0)
    except BadInput as error:
        problems.append(str(error))
        if known is None:
            return problems
        found = known
    try:
        index.insert(db, found)
    except sqlite3.IntegrityError:
        problems.append(f"{folder / path}: the same constant is in the store already")
    return problems


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in (folder / "xfel" / "cal").glob("*/*/cal.*.h5")]


def _put_aside_if_damaged(target: index.Index) -> None:
    if not target.file.exists():
        return
    try:
        with target.reading() as db:
            sound = [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]
    except ConstantDamaged:
        sound = False
    if not sound:
        target.file.replace(target.file.with_name(f"{index.FILE_NAME}.damaged-{time.time_ns()}"))
        for suffix in ("-wal", "-shm"):
            target.file.with_name(index.FILE_NAME + suffix).unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    for part in (folder / "xfel" / "cal").glob(f"*/*/.cal.*{PART_SUFFIX}"):
        if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
            part.unlink(missing_ok=True)
