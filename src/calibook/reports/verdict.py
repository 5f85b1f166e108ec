"""The verdict: quality figures held against their limits, in a form machines can read.

A figure passes, or it lies outside its warn limits, or outside its fail
limits. The verdict of a run is its worst figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibook import files
from calibook.errors import CalibookError

Limits = tuple[float | None, float | None]

NO_LIMITS: Limits = (None, None)

# From best to worst. A figure without limits informs and never decides.
STATES = ("info", "pass", "warn", "fail")


@dataclass(frozen=True)
class Figure:
    """One quality figure.

    Parameters
    ----------
    name: stable name in snake_case, the key in the JSON
    value: what was measured; None or NaN when it could not be measured
    unit: unit of value and limits, "" for a pure number
    meaning: what the figure says, in one line
    warn, fail: (lowest, highest) good value, None for no limit on that side;
        a value equal to a limit is still good
    """

    name: str
    value: float | None
    unit: str = ""
    meaning: str = ""
    warn: Limits = NO_LIMITS
    fail: Limits = NO_LIMITS

    @property
    def measured(self) -> bool:
        """Whether there is a value (infinity is one; None and NaN are not)."""
        return self.value is not None and not math.isnan(self.value)

    @property
    def status(self) -> str:
        """ "pass", "warn" or "fail"; "info" when the figure has no limits.

        A figure that has limits but was not measured fails.
        """
        if self.warn == NO_LIMITS and self.fail == NO_LIMITS:
            return "info"
        if self.value is None or math.isnan(self.value):
            return "fail"
        if _outside(self.value, self.fail):
            return "fail"
        return "warn" if _outside(self.value, self.warn) else "pass"

    def to_dict(self) -> dict[str, Any]:
        """All but the name, as JSON can hold it (NaN and infinity become null)."""
        return {
            "value": _json_number(self.value),
            "unit": self.unit,
            "meaning": self.meaning,
            "warn": [_json_number(limit) for limit in self.warn],
            "fail": [_json_number(limit) for limit in self.fail],
            "status": self.status,
        }


def _outside(value: float, limits: Limits) -> bool:
    lowest, highest = limits
    return (lowest is not None and value < lowest) or (highest is not None and value > highest)


def _json_number(value: float | None) -> float | None:
    """A plain number (NumPy's scalars too), or None where JSON has no word for it."""
    if value is None or not math.isfinite(value):
        return None
    # bool and the integers stay what they are: 3 bad pixels, not 3.0
    return int(value) if float(value).is_integer() and not isinstance(value, float) else float(value)


class Verdict:
    """All quality figures of a run.

    Parameters
    ----------
    figures: figures in the order they are shown; names must differ

    Raises
    ------
    CalibookError: two figures have the same name
    """

    def __init__(self, figures: Iterable[Figure]):
        self.figures = tuple(figures)
        names = [figure.name for figure in self.figures]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CalibookError(f"two quality figures have the same name: {', '.join(twice)}")

    @property
    def status(self) -> str:
        """The worst figure's status; "pass" when no figure has limits."""
        worst = max((STATES.index(figure.status) for figure in self.figures), default=0)
        return STATES[max(worst, STATES.index("pass"))]

    def to_dict(self) -> dict[str, Any]:
        """{"verdict": status, "figures": {name: {value, unit, meaning, warn, fail, status}}}"""
        return {
            "verdict": self.status,
            "figures": {figure.name: figure.to_dict() for figure in self.figures},
        }

    def write(self, path: Path | str) -> None:
        """Write the verdict as JSON."""
        files.write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: Path | str) -> Verdict:
        """The verdict in a JSON file.

        Raises
        ------
        CalibookError: the file is no verdict
        """
        try:
            content = files.read_json(path)["figures"]
            return cls(_figure(name, stored) for name, stored in content.items())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibookError(f"{path} is not a verdict: {error!r}") from error


def _figure(name: str, stored: dict[str, Any]) -> Figure:
    warn, fail = (_limits(stored[kind]) for kind in ("warn", "fail"))
    return Figure(name, stored["value"], stored["unit"], stored["meaning"], warn, fail)


def _limits(stored: list[float | None]) -> Limits:
    lowest, highest = stored
    return lowest, highest
