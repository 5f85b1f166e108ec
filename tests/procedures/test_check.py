"""The check that an author runs over a notebook."""

from __future__ import annotations

import nbformat
import pytest

from calibook.procedures.check import check_notebook

GOOD = (
    'run: int = 1  # run number\nplan_file: str = ""  # plan, made by calibook',
    "import math\nfrom math import pi as π\n%matplotlib inline",
    "def area(r):\n    return π * r**2 + later(r)\n\ndef later(r):\n    return 0",
    "total = sum(area(r) for r in range(run))\nsquares = {n: [m for m in range(n)] for n in range(3)}",
    "for i, n in enumerate([1, 2]):\n    last = n\nwith open('/dev/null') as f:\n    text = f.read()",
    "class Point:\n    x = total\n    y = x + 1\n\ntry:\n    last += 1\nexcept OSError as e:\n    print(e)",
    "total = total + 1\nif (n2 := total) > 1:\n    print(math.tau, [k for k in squares], lambda q: q + run)",
    "import asyncio\nawait asyncio.sleep(0)\ndisplay(total)",
)


def test_a_good_notebook_has_no_problems_and_runs(make_notebook):
    assert check_notebook(make_notebook(*GOOD), run=True) == []


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (("run: int = 1",), "parameter run: no meaning"),
        (('mode: str = "a"  # a | b',), "parameter mode: no meaning"),
        (("run: int = 1  # run; requird",), "'requird' is no rule"),
        (("run: int = 0  # run; > 0",), "the default breaks"),
        (("task: int = 0  # task",), 'must be `str = ""`'),
        ((None, "a = 1"), "tag `parameters`"),
        (("run: int = 1  # run", "a = (1"), "cell 2, line 1: syntax error"),
        (("run: int = 1  # run", "a = 1\nreturn a"), "cell 2, line 2: syntax error"),
        (("run: int = 1  # run", "a = 1\nprint(b)", "b = 1"), "cell 2, line 2: b is used"),
        (("run: int = 1  # run", "a = a + 1"), "cell 2, line 1: a is used"),
        (("run: int = 1  # run", "a += 1"), "a is used"),
        (("run: int = 1  # run", "a: int = a"), "a is used"),
        (("run: int = 1  # run", "x = [i for i in numbers]"), "numbers is used"),
        (("run: int = 1  # run", "class A:\n    y = later\nlater = 1"), "later is used"),
        (("run: int = 1  # run", "def f(x=later):\n    pass\nlater = 1"), "later is used"),
        (("run: int = 1  # run", "@later\ndef f():\n    pass\nlater = 1"), "later is used"),
        (("run: int = 1  # run", "def f():\n    return nowhere"), "a function uses nowhere"),
        (("run: int = 1  # run", "await later"), "later is used"),
        (("run: int = 1  # run", "from math import *\nprint(pi)"), "import *"),
        (("run: int = 1  # run", "def f():\n" + "    a = 1\n" * 12), "function f has 13 lines"),
    ],
)
def test_each_fault_is_named(make_notebook, cells, problem):
    problems = check_notebook(make_notebook(*cells))
    assert len(problems) == 1
    assert problem in problems[0]


def test_title_and_text(make_notebook):
    assert "no title" in check_notebook(make_notebook(title="words"))[0]
    assert "no text below the title" in check_notebook(make_notebook(title="# Title"))[0]


def test_stored_outputs_and_counts(make_notebook):
    path = make_notebook("run: int = 1  # run", "print(1)", "a = 1")
    node = nbformat.read(path, as_version=4)
    node.cells[2].outputs = [nbformat.v4.new_output("stream", text="1")]
    node.cells[3].execution_count = 4
    nbformat.write(node, path)
    assert check_notebook(path) == [
        "cell 2: has stored outputs; clear them before saving",
        "cell 3: has an execution count; clear the outputs before saving",
    ]


def test_a_file_that_is_no_notebook(tmp_path):
    (tmp_path / "x.ipynb").write_text("{}")
    assert "format 4" in check_notebook(tmp_path / "x.ipynb")[0]


def test_run_tells_the_failing_cell(make_notebook):
    (problem,) = check_notebook(make_notebook("run: int = 1  # run", "a = 1\na / 0"), run=True)
    assert problem.startswith("does not run: cell 2, line 2: ZeroDivisionError")
