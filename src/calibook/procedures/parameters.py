"""One parameter of a procedure: its type, its rules, and the check of a value.

A value comes as text (command line) or already typed (web form, Python). Both
pass `Parameter.check`, the only place where text becomes a value. Text is never
evaluated: what is not plainly a number, true, false or a list of such is refused.
"""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from typing import Any

from calibook.errors import BadParameter

SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
TYPES = (*SCALARS, "list[int]", "list[float]", "list[str]")

# What HDF5, NumPy and every reader of JSON can hold.
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
# A longer list is a slip of the finger ("1-40000000"), not a choice of modules.
LONGEST_LIST = 10_000

_INT = re.compile(r"[+-]?[0-9]{1,20}")
_INT_RANGE = re.compile(r"(-?[0-9]{1,20})-(-?[0-9]{1,20})")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Control characters, lone surrogates, line and paragraph separators.
_FORBIDDEN_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}

_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
_PLURALS = {"int": "whole numbers", "float": "numbers", "str": "texts"}


class _Refused(Exception):
    """A value is not allowed. The text, if any, says more than the rules of the parameter."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, or None if nothing does."""
    plain = {_plain(word): word for word in known}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().lstrip("-").replace("-", "_")


@dataclass(frozen=True)
class Parameter:
    """A parameter as its line in the notebook declares it.

    type: one of `TYPES`
    meaning, unit: in words, "" if not given
    low, high: bounds of the value, or of each item of a list; None if there is none
    low_open, high_open: the bound itself is not allowed
    choices: the only values allowed; () if any is
    group: heading under which a help text shows it
    """

    name: str
    type: str
    default: Any
    meaning: str = ""
    unit: str = ""
    required: bool = False
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[Any, ...] = ()
    group: str = ""

    @property
    def option(self) -> str:
        """Name on the command line: `--in-folder` for `in_folder`."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return self.type.startswith("list[")

    @property
    def item_type(self) -> str:
        """Type of the value, or of each item of a list: int, float, str or bool."""
        return self.type[5:-1] if self.is_list else self.type

    @property
    def range(self) -> str:
        """Range as the notebook writes it: "0..1", "> 0", "" if there is none."""
        if self.low is not None and self.high is not None and not (self.low_open or self.high_open):
            return f"{plain_number(self.low)}..{plain_number(self.high)}"
        low = "" if self.low is None else f"{'>' if self.low_open else '>='} {plain_number(self.low)}"
        high = "" if self.high is None else f"{'<' if self.high_open else '<='} {plain_number(self.high)}"
        return ", ".join(filter(None, [low, high]))

    @property
    def allowed(self) -> str:
        """What is allowed, in words: "a number > 0", "one of adaptive | fixed-high"."""
        if self.choices:
            rule = f"one of {' | '.join(map(str, self.choices))}"
            return f"a list, each item {rule}" if self.is_list else rule
        if not self.is_list:
            return f"{_WORDS[self.type]} {self.range}".strip()
        each = f", each {self.range}" if self.range else ""
        return f"a list of {_PLURALS[self.item_type]}{each}, like {self.example}"

    @property
    def example(self) -> str:
        """How to write a list on the command line."""
        return {"int": "0,2,4-7", "float": "0.5,1.5", "str": "a,b"}[self.item_type]

    def check(self, value: Any) -> Any:
        """The value with its declared type, from text or from a typed value.

        Raises BadParameter that names the option, the value and what is allowed.
        """
        try:
            if self.is_list:
                checked: Any = [self._item(item) for item in self._items(value)]
            else:
                checked = self._item(value)
            if self.required and checked in ("", []):
                raise _Refused("must not be empty")
        except _Refused as error:
            raise BadParameter(self._complaint(value, str(error))) from None
        return checked

    def _complaint(self, value: Any, why: str) -> str:
        message = f"{self.option}: {_shown(value)} {why or 'is not ' + self.allowed}"
        if not self.choices or not isinstance(value, str):
            return message
        close = nearest(value, map(str, self.choices))
        return f"{message}; did you mean {close}?" if close else message

    def _items(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            if not value.strip():
                return []
            items = [part for text in re.split(r"[,|]", value) for part in self._spread(text.strip())]
        elif isinstance(value, list | tuple):
            items = list(value)
        else:
            raise _Refused
        if len(items) > LONGEST_LIST:
            raise _Refused(f"has more than {LONGEST_LIST} items")
        return items

    def _spread(self, text: str) -> Iterable[Any]:
        """The items that one part of a list's text stands for: "4-7" is 4, 5, 6, 7."""
        if not text:
            raise _Refused(f"has an empty item; allowed is {self.allowed}")
        ends = _INT_RANGE.fullmatch(text) if self.item_type == "int" else None
        if ends is None:
            return [text]
        first, last = int(ends[1]), int(ends[2])
        if first > last:
            raise _Refused(f"has a range that runs backwards: {text}")
        if last - first >= LONGEST_LIST:
            raise _Refused(f"has more than {LONGEST_LIST} items")
        return range(first, last + 1)

    def _item(self, value: Any) -> Any:
        item = _READERS[self.item_type](value)
        if self.choices and item not in self.choices:
            raise _Refused
        if self.low is not None and (item < self.low or (self.low_open and item == self.low)):
            raise _Refused
        if self.high is not None and (item > self.high or (self.high_open and item == self.high)):
            raise _Refused
        return item


def plain_number(number: float) -> str:
    """A number as one writes it by hand: 5.0 as "5"."""
    return repr(number).removesuffix(".0")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print an int of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else text[:200] + "..."


def _read_int(value: Any) -> int:
    if isinstance(value, str) and _INT.fullmatch(value):
        value = int(value)
    if isinstance(value, bool | str):
        raise _Refused
    try:
        number = operator.index(value)
    except TypeError:
        raise _Refused from None
    if not INT_MIN <= number <= INT_MAX:
        raise _Refused("does not fit into 64 bits")
    return number


def _read_float(value: Any) -> float:
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _Refused
    try:
        number = float(value)
    except OverflowError:
        raise _Refused from None
    if not math.isfinite(number):
        raise _Refused("is not a finite number")
    return number


def _read_bool(value: Any) -> bool:
    known = {"true": True, "false": False}
    if isinstance(value, str):
        value = known.get(value)
    if not isinstance(value, bool):
        raise _Refused
    return value


def _read_str(value: Any) -> str:
    if not isinstance(value, str):
        raise _Refused
    if any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in value):
        raise _Refused("has a line break or another character that can't be printed")
    return str(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "str": _read_str,
}
