"""The SQLite index over a store's constant files.

It holds nothing that is not in the files, so it can be made anew from them.
One connection per operation: threads and processes share only the database.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path

import psutil

from calibook.constants.entry import Condition, Constant
from calibook.constants.file import identity
from calibook.errors import BadParameter, ConstantDamaged, StoreUnusable

FILE_NAME = "index.sqlite"
SCHEMA = 2
BUSY_SECONDS = 120.0

log = logging.getLogger(__name__)

_CREATE = """
CREATE TABLE constant (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL UNIQUE,
    calibration TEXT NOT NULL,
    pdu TEXT NOT NULL,
    detector_type TEXT NOT NULL,
    "begin" TEXT NOT NULL,
    "end" TEXT,
    dataset TEXT NOT NULL,
    blake3 TEXT NOT NULL,
    dims TEXT NOT NULL,
    shape TEXT NOT NULL,
    dtype TEXT NOT NULL,
    conditions TEXT NOT NULL,
    description TEXT NOT NULL,
    raw_location TEXT NOT NULL
)"""
_CREATE_SEARCH = "CREATE INDEX by_unit ON constant (pdu, calibration)"
_AS_IS = (
    *("id", "path", "calibration", "pdu", "detector_type", "begin", "end"),
    *("dataset", "blake3", "dtype", "description", "raw_location"),
)
_AS_JSON = ("dims", "shape", "conditions")

# WAL needs memory shared by all who use the file, so it fails, sometimes
# silently, between machines.
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "gpfs", "lustre", "beegfs", "ceph", "afs", "fuse.sshfs", "9p")


class Index:
    """The index of the store in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / FILE_NAME

    def ready(self) -> bool:
        """True if the index is there and complete."""
        if not self.file.exists():
            return False
        with self.reading() as db:
            return _schema(db) != 0

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody else's can overlap; made durable when the block ends well.

        Creates the index where there is none.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._connection("rwc") as db:
            _begin(db)
            try:
                _create(db)
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; the index must exist."""
        with self._connection("rw") as db:
            yield db

    @contextmanager
    def _connection(self, mode: str) -> Iterator[sqlite3.Connection]:
        db = None
        try:
            db = self._open(mode)
            yield db
        except sqlite3.OperationalError as error:
            raise StoreUnusable(f"the store's index {self.file} can't be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise ConstantDamaged(
                f"the store's index {self.file} is damaged ({error}); "
                "make it anew: calibook constants reindex"
            ) from error
        finally:
            if db is not None:
                db.close()

    def _open(self, mode: str) -> sqlite3.Connection:
        try:
            db = self._connect(f"mode={mode}")
            if mode == "rwc":
                _journal(db, self.folder)
            schema = _schema(db)
        except sqlite3.OperationalError:
            # A store that we may read but not write. When no writer is active
            # there is no journal, and the file alone is the whole truth.
            if mode == "rwc" or self.file.with_name(FILE_NAME + "-wal").exists() or not self.file.exists():
                raise
            db = self._connect("mode=ro&immutable=1")
            schema = _schema(db)
        if schema not in (0, SCHEMA):
            raise BadParameter(f"{self.file} has layout {schema}, this version of calibook knows {SCHEMA}")
        return db

    def _connect(self, options: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{self.file.absolute().as_uri()}?{options}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous=FULL")
        return db


def _schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _begin(db: sqlite3.Connection) -> None:
    """BEGIN IMMEDIATE, tried again while another process recovers the journal."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _create(db: sqlite3.Connection) -> None:
    if _schema(db) == 0:
        db.execute(_CREATE)
        db.execute(_CREATE_SEARCH)
        db.execute(f"PRAGMA user_version={SCHEMA}")


def _journal(db: sqlite3.Connection, folder: Path) -> None:
    """Write-ahead log on a new index, where the file system bears it.

    Readers then never wait for writers. Elsewhere the ordinary journal works
    too, only readers and writers wait for each other.
    """
    if _schema(db) != 0:
        return
    if (kind := _file_system(folder)).startswith(_NETWORK_FILE_SYSTEMS):
        log.info("%s: shared file system %s, so the index uses SQLite's ordinary journal", folder, kind)
        return
    try:
        mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    except sqlite3.OperationalError as error:
        mode = str(error)
        if "locked" in mode:  # another process creates the index just now and sets it
            return
    if mode != "wal":
        log.warning(
            "%s: the file system refuses SQLite's write-ahead log (%s); the index uses the ordinary journal, "
            "readers and writers wait for each other",
            folder,
            mode,
        )


def _file_system(folder: Path) -> str:
    """Type of the file system that holds a folder, e.g. "ext4"; empty if unknown."""
    resolved = folder.resolve()
    mounts = {Path(p.mountpoint): p.fstype for p in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in (resolved, *resolved.parents) if parent in mounts), "")


def insert(db: sqlite3.Connection, constant: Constant) -> Constant:
    """Add an entry; its id is kept if it has one (not 0). Returns it with its id."""
    values = {name: getattr(constant, name) for name in _AS_IS}
    values["id"] = constant.id or None
    values["identity"] = identity(constant)
    values["conditions"] = json.dumps([astuple(c) for c in constant.conditions])
    values |= {name: json.dumps(getattr(constant, name)) for name in ("dims", "shape")}
    columns, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" for _ in values)
    cursor = db.execute(f"INSERT INTO constant ({columns}) VALUES ({marks})", tuple(values.values()))
    return replace(constant, id=int(cursor.lastrowid or 0))


def select(db: sqlite3.Connection, folder: Path, **where: str | int | None) -> list[Constant]:
    """Entries whose columns have the given values (None: any), by id."""
    given = {name: value for name, value in where.items() if value is not None}
    clause = " AND ".join(f'"{name}" = ?' for name in given)
    query = f"SELECT * FROM constant {'WHERE ' + clause if clause else ''} ORDER BY id"
    return [_constant(row, folder) for row in db.execute(query, tuple(given.values()))]


def _constant(row: sqlite3.Row, folder: Path) -> Constant:
    lists = {name: json.loads(row[name]) for name in _AS_JSON}
    return Constant(
        **{name: row[name] for name in _AS_IS},
        store=str(folder),
        dims=tuple(lists["dims"]),
        shape=tuple(lists["shape"]),
        conditions=tuple(Condition(*c) for c in lists["conditions"]),
    )
