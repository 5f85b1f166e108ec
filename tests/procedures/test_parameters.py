"""The check of one value: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibook.errors import BadParameter
from calibook.procedures.parameters import TYPES, Parameter, nearest


def parameter(kind: str, **rules) -> Parameter:
    return Parameter("the_value", kind, None, **rules)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "-12", -12),
        ("int", "+3", 3),
        ("int", 7, 7),
        ("int", np.int64(7), 7),
        ("int", str(2**63 - 1), 2**63 - 1),
        ("float", "1", 1.0),
        ("float", "-1.5e-3", -0.0015),
        ("float", ".5", 0.5),
        ("float", 3, 3.0),
        ("float", np.float32(0.5), 0.5),
        ("bool", "true", True),
        ("bool", "false", False),
        ("bool", False, False),
        ("str", "", ""),
        ("str", "gain_ω ' \" {x} $(ls) ../", "gain_ω ' \" {x} $(ls) ../"),
        ("list[int]", "", []),
        ("list[int]", "-1", [-1]),
        ("list[int]", "1,3|5-8", [1, 3, 5, 6, 7, 8]),
        ("list[int]", "-3--1, 4", [-3, -2, -1, 4]),
        ("list[int]", [1, 2], [1, 2]),
        ("list[int]", (), []),
        ("list[float]", "0.5, 1e3", [0.5, 1000.0]),
        ("list[str]", "OFFSET|NOISE", ["OFFSET", "NOISE"]),
        ("list[str]", "1-4", ["1-4"]),
    ],
)
def test_good_value_gets_its_type(kind, value, expected):
    checked = parameter(kind).check(value)
    assert checked == expected
    assert type(checked) is type(expected)
    if isinstance(expected, list):
        assert [type(item) for item in checked] == [type(item) for item in expected]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *[
            ("int", text)
            for text in ("", " 1", "1.5", "1e3", "0x1", "1_000", "1.0", "true", "٣", "--1", "9" * 5000)
        ],
        *[("int", value) for value in (1.0, True, None, [1], 2**63, -(2**63) - 1)],
        *[
            ("float", text)
            for text in ("", "nan", "inf", "-Infinity", "1e999", "1,5", "1_0", "0x1p3", "1 ", "1j")
        ],
        *[("float", value) for value in (math.nan, math.inf, True, None, 10**400, 1j)],
        *[("bool", value) for value in ("", "yes", "1", "True", 1, 0, None)],
        *[
            ("str", value)
            for value in ("a\nb", "a\x00", "\x1b[31m", "a\u2028b", "\udcff", "a\tb", 5, None, b"a")
        ],
        *[
            ("list[int]", text)
            for text in (",", "1,,2", "4-1", "1-40000000", "a", "[1,2]", "1.5", "1-2-3", "1;2")
        ],
        *[("list[int]", value) for value in (5, [True], ["a"], [[1]], {1}, None, list(range(10_001)))],
        ("list[float]", "1,nan"),
        ("list[str]", ["a\n"]),
    ],
)
def test_bad_value_is_refused_with_name_and_value(kind, value):
    with pytest.raises(BadParameter) as error:
        parameter(kind).check(value)
    message = str(error.value)
    assert message.startswith("--the-value: ")
    assert "\n" not in message
    if kind != "str" and isinstance(value, str) and len(value) < 100:
        assert repr(value) in message
    assert len(message) < 500


def test_a_number_too_long_to_print_is_refused():
    with pytest.raises(BadParameter, match="thousands of digits does not fit"):
        parameter("int").check(10**5000)


@pytest.mark.parametrize(
    ("rules", "inside", "outside", "words"),
    [
        ({"low": 0, "low_open": True}, 1, 0, "> 0"),
        ({"low": 0}, 0, -1, ">= 0"),
        ({"high": 5, "high_open": True}, 4, 5, "< 5"),
        ({"high": 5}, 5, 6, "<= 5"),
        ({"low": -1, "high": 8}, -1, 9, "-1..8"),
        ({"low": 0, "low_open": True, "high": 3}, 3, 0, "> 0, <= 3"),
        ({"choices": (1, 2, 4)}, 2, 3, "one of 1 | 2 | 4"),
    ],
)
def test_rules_hold_for_values_and_for_items(rules, inside, outside, words):
    for kind, wrap in (("int", lambda x: x), ("list[int]", lambda x: [inside, x])):
        one = parameter(kind, **rules)
        assert one.check(wrap(inside)) == wrap(inside)
        with pytest.raises(BadParameter) as error:
            one.check(wrap(outside))
        assert words in str(error.value)


def test_choice_names_the_nearest():
    mode = parameter("str", choices=("adaptive", "fixed-high", "fixed-low"))
    with pytest.raises(
        BadParameter, match=r"one of adaptive \| fixed-high \| fixed-low; did you mean adaptive\?"
    ):
        mode.check("adaptiv")
    with pytest.raises(BadParameter) as error:
        mode.check("42")
    assert "did you mean" not in str(error.value)


def test_required_text_must_not_be_empty():
    for kind in ("str", "list[str]"):
        with pytest.raises(BadParameter, match="must not be empty"):
            parameter(kind, required=True).check("")


@given(st.sampled_from(TYPES), st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text()))
def test_any_value_is_typed_or_refused(kind, value):
    """Nothing but BadParameter comes out, and what is accepted is accepted again, unchanged."""
    one = parameter(kind)
    try:
        checked = one.check(value)
    except BadParameter:
        return
    assert one.check(checked) == checked


@pytest.mark.parametrize(
    ("name", "found"),
    [("rnu", "run"), ("--in-foldr", "in_folder"), ("IN_FOLDER", "in_folder"), ("zzz", None), ("", None)],
)
def test_nearest(name, found):
    assert nearest(name, ["run", "in_folder", "modules"]) == found
