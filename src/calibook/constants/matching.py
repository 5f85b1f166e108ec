"""When a constant fits: conditions with tolerances, and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from calibook.constants.entry import Condition, Constant
from calibook.constants.names import checked_number, known_names
from calibook.errors import BadParameter

STRATEGIES = ("closest", "prior")

Asked = Mapping[str, float | str]


def checked_asked(conditions: Mapping[str, float | str]) -> dict[str, float | str]:
    """Asked conditions with all numbers as floats."""
    return {
        name: value if isinstance(value, str) else checked_number(f"condition {name!r}", value)
        for name, value in conditions.items()
    }


def mismatches(stored: Sequence[Condition], asked: Asked) -> list[str]:
    """What keeps stored conditions from matching the asked ones, in words; empty if they match.

    The sets of names must be equal: a parameter that was left out means its
    default value, so it differs from any value that was given.
    """
    known = {c.name: c for c in stored}
    found = [f"{name}: asked {_shown(asked[name])}, not stored" for name in asked if name not in known]
    for c in stored:
        if c.name not in asked:
            found.append(f"{c.name}: stored {_shown(c.value)}, not asked")
        elif fault := _mismatch(c, asked[c.name]):
            found.append(f"{c.name}: {fault}")
    return found


def _mismatch(stored: Condition, asked: float | str) -> str:
    if isinstance(stored.value, str) or isinstance(asked, str):
        return "" if stored.value == asked else f"asked {_shown(asked)}, stored {_shown(stored.value)}"
    # In decimals as people write them: in binary, 0.8 - 0.1 is more than 0.7
    # and the edge of a tolerance would be lost.
    value, lower, upper, wanted = (
        Decimal(repr(x)) for x in (stored.value, stored.lower, stored.upper, asked)
    )
    if value - lower <= wanted <= value + upper:
        return ""
    beyond = wanted - (value + upper) if wanted > value else (value - lower) - wanted
    tolerance = f" -{stored.lower:g} +{stored.upper:g}" if stored.lower or stored.upper else ""
    return f"asked {asked!r}, stored {stored.value!r}{tolerance}, off by {float(beyond):g}"


def _shown(value: float | str) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}...{text[-10:]}"


def out_of_time(constant: Constant, at: str, strategy: str) -> str:
    """Why a constant does not hold at a moment (`names.utc_text`); empty if it does."""
    if constant.end is not None and at >= constant.end:
        return f"its validity ended {constant.end}"
    if strategy == "prior" and constant.begin > at:
        return f"it begins later, {constant.begin} (strategy 'closest' would accept it)"
    return ""


def checked_strategy(strategy: str) -> str:
    """`strategy` itself; BadParameter if there is no such strategy."""
    if strategy not in STRATEGIES:
        raise BadParameter(f"strategy={strategy!r} is unknown; allowed: {', '.join(STRATEGIES)}")
    return strategy


def choose(constants: Iterable[Constant], asked: Asked, at: str, strategy: str) -> Constant | None:
    """The constant to use at a moment, among those of one unit and calibration.

    prior: the latest that began; closest: the nearest begin, before or after,
    and of two equally near the earlier. Of several with the same begin, the
    one that was put last.
    """
    fitting = [
        c for c in constants if not out_of_time(c, at, strategy) and not mismatches(c.conditions, asked)
    ]
    if strategy == "prior":
        return max(fitting, key=lambda c: (c.begin, c.id), default=None)
    return min(fitting, key=lambda c: (_distance(c.begin, at), c.begin, -c.id), default=None)


def _distance(begin: str, at: str) -> float:
    return abs((datetime.fromisoformat(begin) - datetime.fromisoformat(at)).total_seconds())


def why_none(
    constants: Sequence[Constant], pdu: str, calibration: str, asked: Asked, at: str, strategy: str
) -> str:
    """Why no constant of a store fits, in words; empty if one does."""
    if not constants:
        return "there are no constants yet"
    of_unit = [c for c in constants if c.pdu == pdu]
    if not of_unit:
        known = known_names(pdu, sorted({c.pdu for c in constants}))
        return f"no constants of unit {pdu}; {known}"
    of_kind = [c for c in of_unit if c.calibration == calibration]
    if not of_kind:
        known = known_names(calibration, sorted({c.calibration for c in of_unit}))
        return f"unit {pdu} has no {calibration}; {known}"
    if choose(of_kind, asked, at, strategy):
        return ""
    return f"{calibration} of {pdu}: {_why_unfit(of_kind, asked, at, strategy)}"


def _why_unfit(constants: Sequence[Constant], asked: Asked, at: str, strategy: str) -> str:
    """Why none of a unit's constants of one calibration fits: the nearest in conditions, then time."""
    matching = [c for c in constants if not mismatches(c.conditions, asked)]
    if not matching:
        nearest = min(
            constants, key=lambda c: (len(mismatches(c.conditions, asked)), _distance(c.begin, at), -c.id)
        )
        listed = "; ".join(mismatches(nearest.conditions, asked))
        return f"{len(constants)} stored, none for these conditions; the nearest is {nearest}: {listed}"
    reasons = [f"{c}: {out_of_time(c, at, strategy)}" for c in matching[:5]]
    return f"{len(matching)} for these conditions, none holds at {at}: {'; '.join(reasons)}"
