"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from blake3 import blake3 as blake3_hash

PART_SUFFIX = ".part"
_READ_BYTES = 1 << 18
# Age at which a part that another machine left is taken for dead [s].
_DEAD_AFTER = 86400


def part_path(target: Path) -> Path:
    """A new name beside `target` for its unfinished content.

    The name is hidden and ends in `.part`, so that a reader which looks for
    `*.h5` never takes it for a result; it is unique, so that two writers of
    the same target (a task that a node failure started twice) can't meet. It
    tells machine and process, so that it can be told whether its writer lives.
    """
    writer = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    return target.with_name(f".{target.name}.{writer}{PART_SUFFIX}")


def remove_parts(target: Path, *, all_dead: bool = False) -> None:
    """Remove what earlier, killed writers of `target` left beside it.

    The part of a process that still lives on this machine stays, and so does
    what another machine has written to within a day.

    all_dead: the caller knows that no other machine writes this target now
    """
    _remove_dead(target.parent.glob(f".{_glob_escaped(target.name)}.*{PART_SUFFIX}"), all_dead)


def remove_parts_in(folder: Path, *, all_dead: bool = False) -> None:
    """Remove what killed writers of anything left in `folder` (not in folders below it)."""
    _remove_dead(folder.glob(f".*{PART_SUFFIX}"), all_dead)


def _remove_dead(parts: Iterable[Path], all_dead: bool) -> None:
    for path in parts:
        if _may_live(path, all_dead):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _may_live(part: Path, all_dead: bool) -> bool:
    machine, _, rest = part.name.removesuffix(PART_SUFFIX).rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    if machine == _machine():
        return pid.isdecimal() and _lives(int(pid))
    try:
        return not all_dead and time.time() - part.stat().st_mtime < _DEAD_AFTER
    except FileNotFoundError:
        return False


@cache
def _machine() -> str:
    """This machine in eight characters: host names can be too long for a file's name."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _glob_escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def put_in_place(part: Path, target: Path, *, flush: bool = True) -> None:
    """Flush `part` to disk and rename it to `target`, which is then whole.

    flush: else the file is whole whatever becomes of this process, but perhaps not
        after a power cut; for what tells only how far something is, on a disk that is busy
    """
    if not flush:
        part.replace(target)
        return
    with open(part, "rb") as f:
        os.fsync(f.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def whole_file(target: Path | str, *, flush: bool = True) -> Iterator[Path]:
    """Write a file under a temporary name; it takes its name when the block ends well.

    flush: as for `put_in_place`

    >>> with whole_file("result.h5") as part:
    ...     write_everything_to(part)
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(target)
    try:
        yield part
        put_in_place(part, target, flush=flush)
    finally:
        part.unlink(missing_ok=True)


def write_text(target: Path | str, text: str, *, flush: bool = True) -> None:
    """Write a text file whole."""
    with whole_file(target, flush=flush) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path | str, content: Any, *, flush: bool = True) -> None:
    """Write a JSON file whole, readable by people. NaN is refused: it is not JSON."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(target, text + "\n", flush=flush)


def read_json(path: Path | str) -> Any:
    """Content of a JSON file."""
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def blake3(path: Path | str) -> str:
    """BLAKE3 hash of a file's bytes, as hexadecimal text; what `b3sum` prints.

    A cryptographic hash as SHA-256 is one, and several times as fast: files are as long as what
    is done with them.
    """
    found = blake3_hash()
    # Read, not mapped: a file that is cut short meanwhile would end the whole process.
    with open(path, "rb", buffering=0) as f:
        buffer = memoryview(bytearray(_READ_BYTES))
        while length := f.readinto(buffer):
            found.update(buffer[:length])
    return found.hexdigest()
