"""Which detector unit sits at which position, with history: `{store}/units.json`.

A constant belongs to a unit (a piece of hardware), not to a position in the
detector; a unit that moves takes its constants along.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from calibook.constants.names import checked_name, default_unit, utc_text
from calibook.errors import BadParameter, ConstantDamaged
from calibook.files import read_json, write_json

FILE_NAME = "units.json"


@dataclass(frozen=True)
class Assignment:
    """From `begin` on, `pdu` sits at (detector, karabo_da)."""

    detector: str
    karabo_da: str
    begin: str
    pdu: str


def assignments(folder: Path) -> list[Assignment]:
    """All assignments, by detector, position and time."""
    path = folder / FILE_NAME
    try:
        return [Assignment(**entry) for entry in read_json(path)]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise ConstantDamaged(f"the list of detector units {path} can't be read: {error}") from error


def assign(folder: Path, detector: str, karabo_da: str, pdu: str, begin: Any) -> Assignment:
    """Add an assignment; the caller holds the store's write lock.

    The same one again changes nothing; BadParameter if another unit was
    assigned to this position from the same moment on.
    """
    default_unit(detector, karabo_da)  # checks both: such a position can have a unit's name
    new = Assignment(detector, karabo_da, utc_text("begin", begin), checked_name("pdu", pdu))
    known = assignments(folder)
    for old in known:
        if old != new and replace(old, pdu=new.pdu) == new:
            raise BadParameter(
                f"{detector} {karabo_da} is {old.pdu} from {old.begin} on, and history stays; "
                "give another begin"
            )
    ordered = sorted({*known, new}, key=lambda a: (a.detector, a.karabo_da, a.begin))
    write_json(folder / FILE_NAME, [asdict(a) for a in ordered])
    return new


def unit_of(folder: Path, detector: str, karabo_da: str, at: Any) -> str:
    """The unit at a position at a moment; a name made of the position if none was assigned."""
    moment = utc_text("at", at)
    there = [a for a in assignments(folder) if (a.detector, a.karabo_da) == (detector, karabo_da)]
    there = [a for a in there if a.begin <= moment]
    return there[-1].pdu if there else default_unit(detector, karabo_da)
