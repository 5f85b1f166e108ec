"""The plan cell, run in this process with the user's values."""

from __future__ import annotations

import traceback

import pytest

from calibook.errors import BadInput, CalibookError
from calibook.procedures.notebook import read_procedure
from calibook.procedures.planning import make_plan
from calibook.procedures.tasks import Plan, Task

PLAN = """from calibook.procedures.tasks import Plan, Task
plan = Plan([Task(f"part-{n}", {"n": n}) for n in range(run)])"""


def test_the_cell_sees_the_values(make_notebook):
    procedure = read_procedure(make_notebook(plan=PLAN))
    plan = make_plan(procedure, {"run": 3})
    assert [task.name for task in plan.tasks] == ["part-0", "part-1", "part-2"]


def test_nothing_of_the_notebook_but_the_two_cells_runs(make_notebook):
    procedure = read_procedure(make_notebook("run: int = 1  # run number", "raise SystemExit", plan=PLAN))
    assert len(make_plan(procedure, {}).tasks) == 1


def test_plans_share_nothing(make_notebook):
    cell = PLAN + "\nassert 'seen' not in globals()\nseen = True"
    procedure = read_procedure(make_notebook(plan=cell))
    assert make_plan(procedure, {"run": 1}) == make_plan(procedure, {"run": 1})


def test_without_plan_cell_the_notebook_is_one_task(make_notebook):
    assert make_plan(read_procedure(make_notebook()), {"run": 1}) == Plan([Task("add")])


def test_errors_of_ours_pass_through(make_notebook):
    cell = "from calibook.errors import BadInput\nraise BadInput('file.h5', 'is empty')"
    with pytest.raises(BadInput, match=r"file.h5: is empty"):
        make_plan(read_procedure(make_notebook(plan=cell)), {})


@pytest.mark.parametrize(
    ("cell", "line", "words"),
    [
        ("a = 1\n\nb = 1 / 0", 3, "ZeroDivisionError: division by zero\n    b = 1 / 0"),
        ("def f():\n    return {}['k']\n\nf()", 2, "KeyError: 'k'"),
        ("import json\njson.loads('{')", 2, "JSONDecodeError"),
        ("a = 1\nb = (", 2, "SyntaxError"),
        ("raise SystemExit(3)", 1, "SystemExit: 3"),
    ],
)
def test_other_errors_name_notebook_cell_and_line(make_notebook, cell, line, words):
    path = make_notebook(plan=cell)
    with pytest.raises(CalibookError) as error:
        make_plan(read_procedure(path), {})
    assert str(error.value).startswith(f"{path}, cell 2, line {line}: ")
    assert words in str(error.value)
    assert error.value.cause == "bug"


def test_traceback_shows_the_lines_of_the_cell(make_notebook):
    with pytest.raises(CalibookError) as error:
        make_plan(read_procedure(make_notebook(plan="zero = 0\nwrong = 1 / zero")), {})
    shown = "".join(traceback.format_exception(error.value))
    assert 'File "<add.ipynb, cell 2>", line 2' in shown
    assert "wrong = 1 / zero" in shown


@pytest.mark.parametrize("cell", ["", "plan = None", "plan = {'tasks': []}"])
def test_a_cell_must_make_a_plan(make_notebook, cell):
    with pytest.raises(CalibookError, match=r"must set `plan`"):
        make_plan(read_procedure(make_notebook(plan=cell)), {})
