"""Named frozen sets: `{store}/frozen/{name}.json` lists constants by file and hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calibook.constants.entry import Constant
from calibook.constants.names import checked_name, known_names
from calibook.errors import BadParameter, ConstantDamaged
from calibook.files import read_json, write_json


def names(folder: Path) -> list[str]:
    """Names of the store's frozen sets, sorted."""
    return sorted(path.stem for path in (folder / "frozen").glob("*.json") if not path.name.startswith("."))


def members(folder: Path, name: str) -> dict[str, str]:
    """{file relative to the store: blake3} of a frozen set."""
    path = folder / "frozen" / f"{checked_name('frozen set', name)}.json"
    try:
        return {entry["path"]: entry["blake3"] for entry in read_json(path)["constants"]}
    except FileNotFoundError:
        raise BadParameter(f"frozen set {name!r} is unknown; {known_names(name, names(folder))}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConstantDamaged(f"frozen set {name!r}: file {path} can't be read: {error}") from error


def freeze(folder: Path, name: str, constants: Sequence[Constant]) -> None:
    """Make a frozen set; the caller holds the store's write lock.

    Freezing the same set again changes nothing; BadParameter if the name has
    another content already.
    """
    checked_name("frozen set", name)
    if not constants:
        raise BadParameter(f"frozen set {name!r} would be empty")
    wanted = {c.path: c.blake3 for c in constants}
    if name in names(folder):
        if members(folder, name) != wanted:
            raise BadParameter(f"frozen set {name!r} exists and never changes; choose another name")
        return
    listed = [{"path": path, "blake3": wanted[path]} for path in sorted(wanted)]
    write_json(folder / "frozen" / f"{name}.json", {"name": name, "constants": listed})
