"""The grammar of a parameter cell.

    cell        = (parameter | group | blank line)*
    group       = "# " words                      heading of the parameters below it
    parameter   = name ": " type " = " literal ["  # " comment]       on one line
    type        = "int" | "float" | "str" | "bool" | "list[int]" | "list[float]" | "list[str]"
    comment     = [meaning ["[" unit "]"] ";"] rule (";" rule)*  |  meaning ["[" unit "]"]
    rule        = "required" | range | alternatives
    range       = (">" | ">=" | "<" | "<=") number  |  number ".." number      (both ends allowed)
    alternatives = word (" | " word)+

Example:

    # Where the data is
    in_folder: str = ""          # folder of the raw run files; required
    modules: list[int] = [-1]    # modules to correct, -1 for all; >= -1
    photon_energy: float = 9.3   # photon energy [keV]; > 0
    gain_mode: str = "adaptive"  # gain mode of the run; adaptive | fixed-high

A name is lower case: letters, digits, single underscores. A meaning begins with
a letter. Ranges are for numbers, alternatives for all but bool; for a list they
hold for each item. A default keeps the rules too, unless the parameter is
required. Anything else in the cell (code, imports, calls, a comment that does
not parse) is a GrammarError.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import Any

from calibook.errors import BadParameter, CalibookError
from calibook.procedures.parameters import SCALARS, TYPES, Parameter

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_BOUND = re.compile(rf"(>=|<=|>|<)\s*({_NUMBER})")
_INTERVAL = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})")
_WORD = re.compile(r"[\w.+-]+")
_MEANING = re.compile(r"(?P<meaning>[^\W\d_][^\[\]|]*?)(?:\s*\[(?P<unit>[^\[\]|]+)\])?")


class GrammarError(CalibookError):
    """A line of a parameter cell doesn't follow the grammar.

    line_number: counted from 1 in the cell; line: its text; why: what is wrong
    """

    cause = "bad parameter"

    def __init__(self, line_number: int, line: str, why: str):
        self.line_number, self.line, self.why = line_number, line, why
        super().__init__(f"line {line_number} of the parameters cell: {why}\n    {line.strip()}")

    def __reduce__(self) -> tuple[Any, ...]:
        return GrammarError, (self.line_number, self.line, self.why)


class _Wrong(Exception):
    """What is wrong with a line; becomes a GrammarError where the line is known."""


def parse_parameter_cell(source: str) -> dict[str, Parameter]:
    """Parameters of a cell by name, in declared order. Raises GrammarError."""
    lines = source.split("\n")
    statements, comments = _parse(source, lines)
    parameters: dict[str, Parameter] = {}
    group, open_group = "", 0
    for number in sorted({*statements, *comments}):
        try:
            if number not in statements:
                if open_group:
                    raise _Wrong(f"the group in line {open_group} has no parameters")
                group, open_group = _group(comments[number]), number
                continue
            if len(statements[number]) > 1:
                raise _Wrong("one parameter per line, please")
            parameter = _parameter(statements[number][0], comments.get(number, ""), group)
            if parameter.name in parameters:
                raise _Wrong(f"{parameter.name} is declared twice")
        except _Wrong as error:
            raise GrammarError(number, lines[number - 1], str(error)) from None
        parameters[parameter.name] = parameter
        open_group = 0
    if open_group:
        raise GrammarError(open_group, lines[open_group - 1], "this group has no parameters")
    return parameters


def _parse(source: str, lines: list[str]) -> tuple[dict[int, list[ast.stmt]], dict[int, str]]:
    """Statements and comments of a cell by the line they begin in."""
    statements: dict[int, list[ast.stmt]] = {}
    try:
        for statement in ast.parse(source).body:
            statements.setdefault(statement.lineno, []).append(statement)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, ValueError, MemoryError, RecursionError, tokenize.TokenError) as error:
        number = min(getattr(error, "lineno", None) or 1, len(lines))
        raise GrammarError(number, lines[number - 1], f"this is not Python: {error}") from None
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    return statements, comments


def _group(comment: str) -> str:
    words = comment.lstrip("#").strip()
    if not words:
        raise _Wrong("a comment alone on its line names a group of parameters; this one is empty")
    return words


def _parameter(statement: ast.stmt, comment: str, group: str) -> Parameter:
    form = "expected a line like `run: int = 0  # run number; required`"
    if not isinstance(statement, ast.AnnAssign) or statement.value is None:
        raise _Wrong(f"only parameters may be in this cell; {form}")
    if not isinstance(statement.target, ast.Name) or not statement.simple:
        raise _Wrong(form)
    if statement.end_lineno != statement.lineno:
        raise _Wrong("a parameter must stand on one line")
    name, kind = statement.target.id, ast.unparse(statement.annotation)
    if not _NAME.fullmatch(name):
        raise _Wrong(f"{name}: a name has lower-case letters, digits and single underscores")
    if kind not in TYPES:
        raise _Wrong(f"{kind} is not a type of a parameter; types are {', '.join(TYPES)}")
    bare = Parameter(name, kind, None, group=group)
    parameter = Parameter(name, kind, _default(bare, statement.value), group=group, **_rules(bare, comment))
    if not parameter.required:
        try:
            parameter.check(parameter.default)
        except BadParameter as error:
            raise _Wrong(f"the default breaks the parameter's own rules: {error}") from None
    return parameter


def _default(bare: Parameter, node: ast.expr) -> Any:
    """The literal; an int is good for a float, nothing else is converted."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _Wrong("a default must be a literal: a number, a text, True, False or a list") from None
    if bare.is_list != isinstance(value, list):
        raise _Wrong(f"the default {value!r} is not of type {bare.type}")
    kinds = (int, float) if bare.item_type == "float" else (SCALARS[bare.item_type],)
    for item in value if bare.is_list else [value]:
        if type(item) not in kinds:
            raise _Wrong(f"the default {value!r} is not of type {bare.type}")
    try:
        return bare.check(value)
    except BadParameter as error:
        raise _Wrong(f"the default can't be used: {error}") from None


def _rules(bare: Parameter, comment: str) -> dict[str, Any]:
    """Fields of a Parameter that the comment declares."""
    fields: dict[str, Any] = {}
    text = comment.lstrip("#").strip()
    if not text:
        return fields
    for position, item in enumerate(map(str.strip, text.split(";"))):
        rule = _rule(bare, item)
        if rule is None:
            if position:
                raise _Wrong(f"{item!r} is no rule; rules are required, > 0, 0..1, a | b")
            rule = _meaning(item)
        if twice := fields.keys() & rule.keys():
            raise _Wrong(f"{item!r} says again what is said before it ({', '.join(sorted(twice))})")
        fields |= rule
    low, high = fields.get("low"), fields.get("high")
    opened = fields.get("low_open") or fields.get("high_open")
    if low is not None and high is not None and (low > high or (low == high and opened)):
        raise _Wrong(f"no number is between {low} and {high}")
    return fields


def _meaning(item: str) -> dict[str, Any]:
    match = _MEANING.fullmatch(item)
    if match is None or _INTERVAL.search(item):
        raise _Wrong(f"can't read {item!r}; expected a meaning, perhaps with a [unit], then rules after ;")
    return {"meaning": match["meaning"].strip(), "unit": (match["unit"] or "").strip()}


def _rule(bare: Parameter, item: str) -> dict[str, Any] | None:
    """Fields that a rule sets, or None if the item is no rule."""
    if item == "required":
        return {"required": True}
    if match := _INTERVAL.fullmatch(item):
        return {"low": _bound(bare, match[1]), "high": _bound(bare, match[2])}
    if match := _BOUND.fullmatch(item):
        side = "low" if match[1].startswith(">") else "high"
        return {side: _bound(bare, match[2]), f"{side}_open": len(match[1]) == 1}
    if "|" in item:
        return {"choices": _choices(bare, item)}
    return None


def _bound(bare: Parameter, text: str) -> Any:
    if bare.item_type not in ("int", "float"):
        raise _Wrong(f"a range is for numbers, not for {bare.type}")
    try:
        return Parameter(bare.name, bare.item_type, None).check(text)
    except BadParameter:
        raise _Wrong(f"the bound {text} is not of type {bare.item_type}") from None


def _choices(bare: Parameter, item: str) -> tuple[Any, ...]:
    if bare.item_type == "bool":
        raise _Wrong("a bool is true or false, it takes no alternatives")
    words = [word.strip() for word in item.split("|")]
    if not all(_WORD.fullmatch(word) for word in words):
        raise _Wrong(f"can't read the alternatives {item!r}; expected words like adaptive | fixed-high")
    try:
        choices = tuple(Parameter(bare.name, bare.item_type, None).check(word) for word in words)
    except BadParameter:
        raise _Wrong(f"the alternatives {item!r} are not of type {bare.item_type}") from None
    if len(set(choices)) != len(choices):
        raise _Wrong(f"an alternative is named twice in {item!r}")
    return choices
