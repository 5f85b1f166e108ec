"""All values of a command together, and the JSON Schema that says the same."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibook.errors import BadParameter
from calibook.procedures.notebook import Procedure, read_procedure
from calibook.procedures.values import check_values, json_schema

CELL = """
in_folder: str = ""                 # folder of the run; required
run: int = 0                        # run number; required; >= 1
modules: list[int] = [-1]           # modules; -1..8
energy: float = 9.3                 # photon energy [keV]; > 0; < 100
mode: str = "a"                     # mode; a | b
bits: list[str] = []                # bits; x | y
widths: list[float] = [1.0]         # widths; required
stages: int = 1                     # stages; 1 | 2 | 3
note: str = "none"                  # a note
strixel: bool = False               # strixel sensor
plan_file: str = ""                 # plan
"""


@pytest.fixture
def procedure(make_notebook) -> Procedure:
    return read_procedure(make_notebook(CELL))


GIVEN = {"in_folder": "x", "run": "4", "widths": "1,2"}


def test_values_are_typed_complete_and_in_order(procedure):
    values = check_values(procedure, dict(reversed(GIVEN.items())) | {"modules": "1-3"})
    assert values == {
        "in_folder": "x",
        "run": 4,
        "modules": [1, 2, 3],
        "energy": 9.3,
        "mode": "a",
        "bits": [],
        "widths": [1.0, 2.0],
        "stages": 1,
        "note": "none",
        "strixel": False,
    }
    assert list(values) == list(procedure.user_parameters)
    assert check_values(procedure, values) == values


def test_a_default_list_is_not_shared(procedure):
    check_values(procedure, GIVEN)["modules"].append(5)
    assert check_values(procedure, GIVEN)["modules"] == [-1]


def test_all_problems_in_one_message(procedure):
    with pytest.raises(BadParameter) as error:
        check_values(procedure, {"rnu": 4, "energy": "0", "mode": "c", "plan_file": "x", "widths": [1]})
    lines = str(error.value).split("\n")
    assert lines == [
        "--rnu: there is no such parameter; did you mean --run?",
        "--plan-file: there is no such parameter",
        "--in-folder: is required (folder of the run, text)",
        "--run: is required (run number, a whole number >= 1)",
        "--energy: '0' is not a number > 0, < 100",
        "--mode: 'c' is not one of a | b",
    ]


def test_schema_is_a_schema_with_meanings(procedure):
    schema = json_schema(procedure)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["in_folder", "run", "widths"]
    assert schema["properties"]["energy"] == {
        "type": "number",
        "exclusiveMinimum": 0.0,
        "exclusiveMaximum": 100.0,
        "description": "photon energy [keV]",
        "default": 9.3,
    }
    assert "plan_file" not in schema["properties"]


ANY = (
    st.integers(-5, 12)
    | st.integers()
    | st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1])
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.booleans()
    | st.none()
    | st.text(max_size=5)
    | st.sampled_from(["a", "b", "c", "x\n", "\x7f", "\u2028", "\ud800"])
)
VALUE = ANY | st.lists(ANY | st.sampled_from(["x", "y"]), max_size=3)


def as_typed(procedure: Procedure, given: dict) -> bool:
    """Whether text stands only where text is meant; a schema knows no text of numbers."""
    kinds = {name: p.type for name, p in procedure.user_parameters.items()}
    for name, value in given.items():
        kind = kinds.get(name, "")
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, str) for item in items) and "str" not in kind:
            return False
        if isinstance(value, str) and kind.startswith("list"):
            return False
    return True


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_schema_and_check_agree(procedure, data):
    name = data.draw(st.sampled_from([*procedure.user_parameters, "rnu"]))
    value = data.draw(VALUE)
    values = {"in_folder": "x", "run": 4, "widths": [1.0]} | {name: value}
    accepted = jsonschema.Draft202012Validator(json_schema(procedure)).is_valid(values)
    if not as_typed(procedure, values):
        assert not accepted
        return
    try:
        check_values(procedure, values)
    except BadParameter:
        assert not accepted, values
    else:
        assert accepted, values


@pytest.mark.parametrize("left_out", ["in_folder", "run", "widths"])
def test_schema_and_check_agree_on_what_is_required(procedure, left_out):
    values = {"in_folder": "x", "run": 4, "widths": [1.0]}
    for changed in (
        {k: v for k, v in values.items() if k != left_out},
        values | {left_out: [] if left_out == "widths" else ""},
    ):
        assert not jsonschema.Draft202012Validator(json_schema(procedure)).is_valid(changed)
        with pytest.raises(BadParameter, match=left_out.replace("_", "-")):
            check_values(procedure, changed)
