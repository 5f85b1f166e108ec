"""Names and moments as the store keeps them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from calibook.errors import BadParameter

LONGEST_NAME = 120


def checked_name(what: str, name: Any) -> str:
    """`name` itself, if it can be part of a path without leading out of its folder.

    what: the parameter's name, for the message
    Raises BadParameter for empty and very long names, slashes, "..", names
    that begin with a dot, control characters and blanks at the ends.
    """
    fault = ""
    if not isinstance(name, str):
        fault = "is not text"
    elif not name or name != name.strip():
        fault = "is empty, or begins or ends with a blank"
    elif len(name) > LONGEST_NAME:
        fault = f"is longer than {LONGEST_NAME} characters"
    elif any(c in "/\\" for c in name) or ".." in name or name.startswith("."):
        fault = 'has "/", "\\", ".." or a dot in front, which names can\'t have'
    elif not name.isprintable():
        fault = "has control characters"
    if fault:
        raise BadParameter(f"{what}={name!r} {fault}")
    return name


def checked_text(what: str, text: Any) -> str:
    """`text` itself, if HDF5 can keep it: valid Unicode, no NUL, at most 60000 bytes."""
    if not isinstance(text, str):
        raise BadParameter(f"{what}={text!r} is not text")
    size = len(text.encode("utf-8", errors="replace"))
    if "\0" in text or size > 60_000 or any(0xD800 <= ord(c) < 0xE000 for c in text):
        raise BadParameter(f"{what}: must be valid Unicode without NUL, at most 60000 bytes; it has {size}")
    return text


def checked_number(what: str, value: Any) -> float:
    """`value` as a float; BadParameter if it is no finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadParameter(f"{what}={value!r} is not a number") from None
    if not math.isfinite(number):
        raise BadParameter(f"{what}={value!r} is not a finite number")
    return number


def utc_text(what: str, moment: Any) -> str:
    """A moment as ISO 8601 text in UTC with milliseconds: such texts sort by time.

    moment: datetime, or ISO 8601 text; without a time zone it is taken as UTC.
    Microseconds are cut off, as the facility's catalogue does.
    """
    if not isinstance(moment, datetime):
        try:
            moment = datetime.fromisoformat(str(moment).strip())
        except ValueError:
            raise BadParameter(
                f"{what}={str(moment)!r} is not a time; write it as 2026-11-22T18:07:13.532+00:00"
            ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC).isoformat(timespec="milliseconds")
    except OverflowError:
        raise BadParameter(f"{what}={moment} is outside the calendar") from None


def default_unit(detector: str, karabo_da: str) -> str:
    """Name of the detector unit at a position nobody assigned a unit to, e.g. FXE_XAD_JF1M_JNGFR01."""
    joined = f"{detector}_{karabo_da}".replace("/", "_").replace("\\", "_").replace("..", "_")
    return checked_name("detector unit", joined)


def known_names(asked: str, known: list[str]) -> str:
    """A hint for a message: the nearest known name, and what there is."""
    if not known:
        return "there are none yet"
    close = get_close_matches(asked, known, n=1, cutoff=0.5)
    shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
    return (f"did you mean {close[0]!r}? " if close else "") + f"there are: {shown}"
