"""Values in the parameter cell: literals equal to what was given, and nothing that runs."""

from __future__ import annotations

import ast
import copy

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibook.errors import BadParameter, CalibookError
from calibook.procedures import fill
from calibook.procedures.fill import cell_literals, fill_in

CELL = """# Where
name: str = "x"              # a "name", with 'quotes' # and hashes

numbers: list[int] = [-1]    # numbers; -10..10
# What
energy: float = 9.3          # photon énergie [keV]; > 0
strixel: bool = False        # strixel; required
words: list[str] = []        # words"""


def notebook(cell: str = CELL):
    v4 = nbformat.v4
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# T"),
            v4.new_code_cell(cell, metadata={"tags": ["parameters"]}),
            v4.new_code_cell("print(name)"),
        ]
    )


def filled_cell(values: dict) -> str:
    return fill_in(notebook(), values).cells[1].source


def test_types_comments_and_layout_stay():
    source = filled_cell({"name": "it's", "numbers": [1, 2], "energy": 12, "strixel": True})
    assert (
        source
        == """# Where
name: str = "it's"              # a "name", with 'quotes' # and hashes

numbers: list[int] = [1, 2]    # numbers; -10..10
# What
energy: float = 12.0          # photon énergie [keV]; > 0
strixel: bool = True        # strixel; required
words: list[str] = []        # words"""
    )


def test_the_given_notebook_is_not_changed():
    original = notebook()
    before = copy.deepcopy(original)
    filled = fill_in(original, {"name": "y"})
    assert original == before
    assert filled.cells[2] == original.cells[2]


def test_defaults_stay_where_nothing_is_given():
    assert cell_literals(filled_cell({})) == cell_literals(CELL)


def test_other_language_metadata_does_not_matter():
    node = notebook()
    node.metadata["language_info"] = {"name": "../../evil"}
    assert "'y'" in fill_in(node, {"name": "y"}).cells[1].source


@pytest.mark.parametrize(
    "values", [{"nmae": "x"}, {"name": 1}, {"name": "a\nb"}, {"numbers": [11]}, {"energy": 0.0}]
)
def test_what_is_not_allowed_is_refused(values):
    with pytest.raises(BadParameter):
        fill_in(notebook(), values)


def test_a_notebook_without_parameters_says_how_to_add_them():
    with pytest.raises(BadParameter, match="add one as the first code cell"):
        fill_in(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a = 1")]), {})


EVIL = [
    "__import__('os').system('touch /tmp/evil')",
    '"; import os; os.abort(); "',
    "'''\nimport os",
    "'\\'; import os #",
    "\\",
    "\\'",
    "$(touch /tmp/evil)",
    "`touch /tmp/evil`",
    "{__import__('os')}",
    "%run evil.py",
    "!touch /tmp/evil",
    "../../etc/passwd",
    "# required",
    "é\u200b\u202e𝒳",
]
LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))


@given(name=LINE | st.sampled_from(EVIL), words=st.lists(LINE | st.sampled_from(EVIL), max_size=3))
def test_any_text_becomes_that_very_literal(name, words):
    try:
        source = filled_cell({"name": name, "words": words})
    except BadParameter:
        assert any("\n" in text for text in [name, *words])
        return
    tree = ast.parse(source)
    assert [type(node) for node in tree.body] == [ast.AnnAssign] * 5
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Attribute | ast.JoinedStr)]
    namespace: dict = {}
    exec(
        compile(tree, "cell", "exec"),
        {"__builtins__": {"str": str, "list": list, "int": int, "float": float, "bool": bool}},
        namespace,
    )
    assert (namespace["name"], namespace["words"]) == (name, words)
    assert fill_in(notebook(source), {}).cells[1].source == source


@given(
    numbers=st.lists(st.integers(-10, 10)),
    energy=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    strixel=st.booleans(),
)
def test_numbers_are_exact(numbers, energy, strixel):
    found = cell_literals(filled_cell({"numbers": numbers, "energy": energy, "strixel": strixel}))
    assert found["numbers"] == (list, numbers)
    assert found["energy"] == (float, energy)
    assert found["strixel"] == (bool, strixel)


def test_a_rewriting_that_goes_wrong_is_noticed(monkeypatch):
    import nbparameterise

    def wrong(node, *args, **kwargs):
        return notebook(CELL.replace('"x"', "print('x')").replace("print('x')", '"z"'))

    monkeypatch.setattr(nbparameterise, "replace_definitions", wrong)
    with pytest.raises(CalibookError, match="can't be written"):
        fill.fill_in(notebook(), {"name": "y"})


@pytest.mark.parametrize(
    "source", ["import os", "a = 1", "a: int", "a: int = f()", "a: int = 1\na: int = 2", "a.b: int = 1"]
)
def test_a_cell_with_more_than_literals_is_refused(source):
    with pytest.raises(ValueError):
        cell_literals(source)
