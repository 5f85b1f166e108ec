"""The words and numbers of the first page, the same for every engine.

The templates only place what is made here. Everything must fit on page one:
long tables are shortened there, and stand complete at the end of the report.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from calibook.reports.content import ReportContent
from calibook.reports.verdict import NO_LIMITS, Figure, Limits, Verdict

LINES = 43  # that fit on page one below the verdict's banner
TABLE_LINES = 3  # heading, head and space of a table
MEANING_WIDTH = 44  # characters of a figure's meaning that fit on a line
HEAD_WIDTH = 90  # characters of the running head
FACT_WIDTH = 38  # characters of a fact or condition that fit on a line

SIGNS = {"pass": "✓", "warn": "!", "fail": "✗", "info": "·"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# Keys of a constant and the heads of their columns. Of pdu and karabo_da one names the unit.
_CONSTANT_COLUMNS = {
    "calibration": "Calibration",
    "unit": "Unit",
    "id": "ID",
    "begin": "Valid from",
    "end": "Valid to",
    "blake3": "BLAKE3",
}


def first_page(content: ReportContent) -> dict[str, Any]:
    """All texts of the first page and of the complete tables at the end, ready for JSON."""
    title, subtitle = _line(content.title), _line(content.subtitle)
    facts, conditions = _pairs(content.facts), _pairs(content.conditions)
    figures = [figure_row(figure) for figure in content.verdict.figures] if content.verdict else []
    constants = [_constant(constant) for constant in content.constants]
    room = LINES - max(_lines_of(facts), _lines_of(conditions)) - 2
    short = constants_table(constants)
    shortened = _length(figures) + len(constants) + 2 * TABLE_LINES > room and len(constants) > 5
    if shortened:
        short = constants_by_calibration(constants)
    shown = _most_important(figures, room - 2 * TABLE_LINES - len(short["rows"]))
    return {
        "title": title,
        "subtitle": subtitle,
        "head": _shortened(f"{title} — {subtitle}" if subtitle else title, HEAD_WIDTH),
        "verdict": banner(content.verdict),
        "facts": facts,
        "conditions": conditions,
        "figures": shown,
        "figures_left_out": len(figures) - len(shown),
        "constants": short,
        "all_figures": figures if len(shown) < len(figures) else [],
        "all_constants": constants_table(constants) if shortened else None,
        "unusual": [[_line(part) for part in entry] for entry in content.unusual],
        "software": _pairs(content.software),
    }


def banner(verdict: Verdict | None) -> dict[str, str]:
    """Status, word and sign (so that it reads without colour), and one sentence."""
    if verdict is None or not verdict.figures:
        return {
            "status": "info",
            "word": "NO VERDICT",
            "sign": "–",
            "sentence": "No quality figure was measured.",
        }
    judged = [figure for figure in verdict.figures if figure.status != "info"]
    names = {status: [f.name for f in judged if f.status == status] for status in ("fail", "warn")}
    parts = [
        f"{len(listed)} of {len(judged)} quality figures {some if listed[1:] else one}: {_listed(listed)}."
        for listed, one, some in (
            (names["fail"], "fails", "fail"),
            (names["warn"], "asks for attention", "ask for attention"),
        )
        if listed
    ]
    if not parts:
        few = {0: "No quality figure has limits.", 1: "The quality figure is within its limits."}
        parts = [few.get(len(judged), f"All {len(judged)} quality figures are within their limits.")]
    status = verdict.status
    return {"status": status, "word": status.upper(), "sign": SIGNS[status], "sentence": " ".join(parts)}


def _listed(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def figure_row(figure: Figure) -> dict[str, str]:
    """The cells of a figure in the verdict's table."""
    value = number(figure.value)
    if figure.measured and figure.unit:
        value = f"{value} {figure.unit}"
    return {
        "name": figure.name,
        "meaning": _line(figure.meaning),
        "value": value,
        "warn": limits(figure.warn),
        "fail": limits(figure.fail),
        "status": figure.status,
        "sign": SIGNS[figure.status],
    }


def number(value: float | None) -> str:
    """A number as people read it: four digits, 1.2 × 10⁻⁵, "not measured" for None and NaN."""
    if value is None or math.isnan(value):
        return "not measured"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    mantissa = mantissa.replace("-", "−")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}" if exponent else mantissa


def limits(pair: Limits) -> str:
    """Where a figure begins to warn or fail: "< 1 or > 3"; a dash without limits."""
    if pair == NO_LIMITS:
        return "–"
    lowest, highest = pair
    parts = [] if lowest is None else [f"< {number(lowest)}"]
    parts += [] if highest is None else [f"> {number(highest)}"]
    return " or ".join(parts)


def constants_table(constants: list[dict[str, str]]) -> dict[str, Any]:
    """Heads and rows of the complete table, without columns in which nothing is known."""
    keys = [key for key in _CONSTANT_COLUMNS if any(constant[key] for constant in constants)]
    rows = [[constant[key] or "–" for key in keys] for constant in constants]
    return {"heads": [_CONSTANT_COLUMNS[key] for key in keys], "rows": rows}


def constants_by_calibration(constants: list[dict[str, str]]) -> dict[str, Any]:
    """One row for each calibration: how many units, their IDs, from when to when."""
    groups: dict[str, list[dict[str, str]]] = {}
    for constant in constants:
        groups.setdefault(constant["calibration"], []).append(constant)
    rows = []
    for calibration, members in groups.items():
        units = len({member["unit"] for member in members})
        ids, begins = ([m[key] for m in members if m[key]] for key in ("id", "begin"))
        rows.append([calibration or "–", str(units), _extent(ids, numeric=True), _extent(begins)])
    return {"heads": ["Calibration", "Units", "IDs", "Valid from"], "rows": rows}


def _extent(values: Iterable[str], numeric: bool = False) -> str:
    """First and last of some values."""
    known = sorted(set(values))
    if numeric and all(value.isdigit() for value in known):
        known.sort(key=int)
    if not known:
        return "–"
    return known[0] if len(known) == 1 else f"{known[0]} … {known[-1]}"


def _constant(constant: dict[str, Any]) -> dict[str, str]:
    known = {key: _line(value) for key, value in constant.items() if value is not None}
    return {
        "calibration": known.get("calibration", ""),
        "unit": known.get("karabo_da") or known.get("pdu", ""),
        "id": known.get("id", "")[:16],
        "begin": date(known.get("begin", "")),
        "end": date(known.get("end", "")),
        "blake3": known.get("blake3", "")[:12],
    }


def date(value: str) -> str:
    """An ISO time without T, fractions of a second and the offset of UTC."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(?:Z|\+00:?00)?", value)
    return f"{match.group(1)} {match.group(2)}" if match else value


def _most_important(figures: list[dict[str, str]], room: int) -> list[dict[str, str]]:
    """All figures, or the worst ones that fit, in their own order."""
    if _length(figures) <= room:
        return figures
    order = {"fail": 0, "warn": 1, "pass": 2, "info": 3}
    kept, left = set(), max(room, 8) - 1
    for place in sorted(range(len(figures)), key=lambda i: order[figures[i]["status"]]):
        left -= _length([figures[place]])
        if left < 0:
            break
        kept.add(place)
    return [figure for place, figure in enumerate(figures) if place in kept]


def _length(figures: list[dict[str, str]]) -> int:
    """Lines that figures take in the verdict's table."""
    return sum(max(1, math.ceil(len(figure["meaning"]) / MEANING_WIDTH)) for figure in figures)


def _lines_of(pairs: list[list[str]]) -> int:
    return sum(math.ceil(max(1, len(value)) / FACT_WIDTH) for _, value in pairs)


def _pairs(values: dict[str, Any]) -> list[list[str]]:
    return [
        [_line(name), number(value) if isinstance(value, float) else _line(value)]
        for name, value in values.items()
    ]


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _line(value: Any) -> str:
    """A value on one line, without characters that no page can show."""
    from calibook.reports import text

    return " ".join(text.clean(str(value)).split())
