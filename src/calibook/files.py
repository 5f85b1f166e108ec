"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART_SUFFIX = ".part"


def part_path(target: Path) -> Path:
    """A new name beside `target` for its unfinished content.

    The name is hidden and ends in `.part`, so that a reader which looks for
    `*.h5` never takes it for a result; it is unique, so that two writers of
    the same target (a task that a node failure started twice) can't meet.
    """
    return target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{PART_SUFFIX}")


def remove_parts(target: Path) -> None:
    """Remove what earlier, killed writers of `target` left beside it.

    The part of a process that still lives on this machine stays.
    """
    _remove_dead(target.parent.glob(f".{_glob_escaped(target.name)}.*{PART_SUFFIX}"))


def remove_parts_in(folder: Path) -> None:
    """Remove what killed writers of anything left in `folder` (not in folders below it)."""
    _remove_dead(folder.glob(f".*{PART_SUFFIX}"))


def _remove_dead(parts: Iterable[Path]) -> None:
    for path in parts:
        pid = path.name.removesuffix(PART_SUFFIX).rpartition(".")[2].partition("-")[0]
        if pid.isdecimal() and _lives(int(pid)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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


def put_in_place(part: Path, target: Path) -> None:
    """Flush `part` to disk and rename it to `target`, which is then whole."""
    with open(part, "rb") as f:
        os.fsync(f.fileno())
    os.replace(part, target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def whole_file(target: Path | str) -> Iterator[Path]:
    """Write a file under a temporary name; it takes its name when the block ends well.

    >>> with whole_file("result.h5") as part:
    ...     write_everything_to(part)
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_path(target)
    try:
        yield part
        put_in_place(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_text(target: Path | str, text: str) -> None:
    """Write a text file whole."""
    with whole_file(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path | str, content: Any) -> None:
    """Write a JSON file whole, readable by people. NaN is refused: it is not JSON."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(target, text + "\n")


def read_json(path: Path | str) -> Any:
    """Content of a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
