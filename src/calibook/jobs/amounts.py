"""Times, memory and names as people give them for jobs."""

from __future__ import annotations

import re

from calibook.errors import BadParameter

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:@+-]*")
_UNITS = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}


def minutes(text: str) -> int:
    """A time in minutes, rounded up: "90s", "30m", "2h", "1d", or SLURM's own way, "2:30:00", "1-12".

    Raises BadParameter.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    found = float(match[1]) * _UNITS[match[2]] if match else _slurm_minutes(text.strip())
    if not 0 < found < 1e6:
        raise BadParameter(f"{text!r} is no time for a job; write 90s, 30m, 2h, 1d or 1:30:00")
    return max(1, -int(-found // 1))


def _slurm_minutes(text: str) -> float:
    """SLURM's way: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; 0 if it is none of them."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not match:
        return 0
    days, *rest = (None if group is None else int(group) for group in match.groups())
    a, b, c = (value or 0 for value in rest)
    if days is not None:
        return days * 1440 + a * 60 + b + c / 60
    if rest[2] is not None:
        return a * 60 + b + c / 60
    return a + b / 60


def megabytes(text: str) -> int:
    """Memory in MB of 1024² bytes, as SLURM counts: "500M", "16G", "1T", or a bare number of MB.

    Raises BadParameter.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([MGT]?)B?", text.strip(), re.IGNORECASE)
    found = float(match[1]) * {"": 1, "M": 1, "G": 1024, "T": 1024**2}[match[2].upper()] if match else 0
    if not 1 <= found < 1e9:
        raise BadParameter(f"{text!r} is no memory for a job; write 500M or 16G")
    return int(found)


def scheduler_name(text: str) -> str:
    """The name of a partition, account, ... Raises BadParameter for what can't be one."""
    if not _NAME.fullmatch(text):
        raise BadParameter(f"{text!r} is no name that SLURM knows: letters, digits and _.,:@+- only")
    return text
