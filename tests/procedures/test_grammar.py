"""The grammar of a parameter cell: what it says, and what it refuses."""

from __future__ import annotations

import keyword
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from calibook.procedures.grammar import GrammarError, parse_parameter_cell
from calibook.procedures.parameters import Parameter

CELL = """# Where the data is
in_folder: str = ""             # folder of the raw run files; required
run: int = 0                    # run number; required; >= 1

# Correction
modules: list[int] = [-1]       # modules to correct, -1 for all; -1..8
photon_energy: float = 9.3      # photon energy [keV]; > 0
gain_mode: str = "adaptive"     # gain mode of the run; adaptive | fixed-high
share: float = 1                # share # of pixels [%]; >= 0; < 1e2
memory_cells: list[int] = []    # cells
strixel: bool = False
"""


def test_cell_of_the_documentation():
    group = "Correction"
    assert list(parse_parameter_cell(CELL).values()) == [
        Parameter(
            "in_folder", "str", "", "folder of the raw run files", required=True, group="Where the data is"
        ),
        Parameter("run", "int", 0, "run number", required=True, low=1, group="Where the data is"),
        Parameter(
            "modules", "list[int]", [-1], "modules to correct, -1 for all", low=-1, high=8, group=group
        ),
        Parameter("photon_energy", "float", 9.3, "photon energy", "keV", low=0.0, low_open=True, group=group),
        Parameter(
            "gain_mode",
            "str",
            "adaptive",
            "gain mode of the run",
            choices=("adaptive", "fixed-high"),
            group=group,
        ),
        Parameter(
            "share", "float", 1.0, "share # of pixels", "%", low=0.0, high=100.0, high_open=True, group=group
        ),
        Parameter("memory_cells", "list[int]", [], "cells", group=group),
        Parameter("strixel", "bool", False, group=group),
    ]


def test_types_of_bounds_and_defaults_follow_the_declared_type():
    found = parse_parameter_cell("a: float = 1  # length [m]; 0..2\nb: int = 1  # count; 0..2")
    assert [type(v) for v in (found["a"].default, found["a"].low, found["a"].high)] == [float] * 3
    assert [type(v) for v in (found["b"].default, found["b"].low, found["b"].high)] == [int] * 3


def test_alternatives_alone_leave_the_meaning_empty():
    found = parse_parameter_cell('mode: str = "a"  # a | b')["mode"]
    assert (found.meaning, found.choices) == ("", ("a", "b"))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import os", "only parameters"),
        ("run = 1", "only parameters"),
        ("run: int", "only parameters"),
        ("print('hello')", "only parameters"),
        ("%matplotlib inline", "not Python"),
        ("run: int = (", "not Python"),
        ("(run): int = 1", "expected a line"),
        ("a.b: int = 1", "expected a line"),
        ("a: int = 1; b: int = 2  # two", "one parameter per line"),
        ("a: list[int] = [1,\n  2]", "must stand on one line"),
        ("Run: int = 1  # run", "lower-case"),
        ("_run: int = 1  # run", "lower-case"),
        ("run_: int = 1  # run", "lower-case"),
        ("a__b: int = 1  # run", "lower-case"),
        ("a: complex = 1  # value", "not a type"),
        ("a: list = []  # values", "not a type"),
        ("a: dict = {}  # values", "not a type"),
        ("a: int = 1.5  # count", "not of type int"),
        ("a: int = True  # count", "not of type int"),
        ("a: int = '1'  # count", "not of type int"),
        ("a: float = '1'  # length", "not of type float"),
        ("a: str = 1  # name", "not of type str"),
        ("a: bool = 1  # choice", "not of type bool"),
        ("a: list[int] = 1  # counts", "not of type list[int]"),
        ("a: list[int] = [1, 'x']  # counts", "not of type list[int]"),
        ("a: int = [1]  # count", "not of type int"),
        ("a: int = f()  # count", "must be a literal"),
        ("a: int = 1 + 1  # count", "must be a literal"),
        ("a: str = f'x'  # name", "must be a literal"),
        ("a: str = __import__('os').name  # name", "must be a literal"),
        ("a: float = 1e999  # length", "finite"),
        ("a: str = 'x\\ny'  # name", "line break"),
        ("a: int = 0  # count; requird", "'requird' is no rule"),
        ("a: int = 0  # count;", "no rule"),
        ("a: int = 0  # count; required; required", "again"),
        ("a: int = 0  # count; >= 0; > 1", "again"),
        ("a: int = 0  # count; 5..1", "no number is between"),
        ("a: int = 0  # count; >= 1; < 1", "no number is between"),
        ("a: int = 0  # count; > 0.5", "not of type int"),
        ("a: int = 0  # count; > 0", "breaks the parameter's own rules"),
        ("a: list[int] = [1, 9]  # counts; 0..8", "breaks the parameter's own rules"),
        ("a: str = 'c'  # mode; a | b", "breaks the parameter's own rules"),
        ("a: str = 'a'  # mode; 0..1", "a range is for numbers"),
        ("a: bool = True  # choice; > 0", "a range is for numbers"),
        ("a: bool = True  # choice; true | false", "takes no alternatives"),
        ("a: int = 1  # mode; one | two", "not of type int"),
        ("a: str = 'a'  # mode; a | a", "twice"),
        ("a: str = 'a'  # mode; a |", "can't read the alternatives"),
        ("a: float = 1  # length [m", "can't read"),
        ("a: float = 1  # length [m] of it", "can't read"),
        ("a: float = 1  # length 0..3", "can't read"),
        ("a: float = 1  # > 0 of course", "can't read"),
        ("#", "is empty"),
        ("# A group without parameters", "has no parameters"),
        ("# One group\n# Another\na: int = 1  # count", "has no parameters"),
        ("a: int = 1  # count\na: int = 2  # count", "declared twice"),
    ],
)
def test_what_does_not_parse_is_an_error_with_its_line(line, why):
    with pytest.raises(GrammarError) as error:
        parse_parameter_cell("first: int = 1  # first of all\n\n" + line)
    assert why in str(error.value)
    assert error.value.line_number >= 3
    assert error.value.line in line.split("\n")


def test_error_survives_pickling():
    with pytest.raises(GrammarError) as error:
        parse_parameter_cell("import os")
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.line_number, again.line) == (str(error.value), 1, "import os")


def test_required_default_may_break_the_rules():
    assert parse_parameter_cell("run: int = 0  # run number; required; > 0")["run"].default == 0


WORDS = st.from_regex(r"[a-z]{1,8}( [a-z0-9,]{1,8}){0,3}", fullmatch=True)


@given(
    name=st.from_regex(r"[a-z]{1,5}(_[a-z0-9]{1,5}){0,2}", fullmatch=True),
    meaning=WORDS.filter(lambda words: words != "required"),
    unit=st.sampled_from(["", "keV", "%", "photons/pixel"]),
    low=st.none() | st.integers(-5, 0),
    high=st.none() | st.integers(2, 5),
    opened=st.booleans(),
    required=st.booleans(),
)
def test_what_is_written_is_read_back(name, meaning, unit, low, high, opened, required):
    assume(not keyword.iskeyword(name))
    comment = meaning + (f" [{unit}]" if unit else "") + "; required" * required
    if low is not None:
        comment += f"; {'>' if opened else '>='} {low}"
    if high is not None:
        comment += f"; {'<' if opened else '<='} {high}"
    assert parse_parameter_cell(f"{name}: int = 1  # {comment}")[name] == Parameter(
        name,
        "int",
        1,
        meaning,
        unit,
        required=required,
        low=low,
        high=high,
        low_open=opened and low is not None,
        high_open=opened and high is not None,
    )


@given(st.text(alphabet="abz_:=[]#;|<>.,0123456789 '\"\n\t-()intsrlo", max_size=80))
def test_any_text_parses_or_is_a_grammar_error(source):
    try:
        found = parse_parameter_cell(source)
    except GrammarError as error:
        assert error.line in source.split("\n")
        return
    assert all(isinstance(parameter, Parameter) for parameter in found.values())
