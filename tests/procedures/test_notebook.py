"""Notebooks as procedures: what is read from them, how they are found."""

from __future__ import annotations

import json

import pytest
from blake3 import blake3

from calibook.errors import BadInput
from calibook.procedures.notebook import broken_procedures, find_procedures, notebooks_root, read_procedure

CELL = 'run: int = 1  # run number\nplan_file: str = ""  # plan\ntask: str = ""  # task'


def test_what_a_notebook_tells(make_notebook):
    path = make_notebook(CELL, plan="plan = None", title="# Add *all*\n\n## Why\nText.")
    procedure = read_procedure(path)
    assert (procedure.name, procedure.detector, procedure.title) == ("add", "", "Add all")
    assert procedure.has_plan
    assert list(procedure.parameters) == ["run", "plan_file", "task"]
    assert list(procedure.user_parameters) == ["run"]
    assert procedure.blake3 == blake3(path.read_bytes()).hexdigest()
    assert procedure.summary is None
    summary = make_notebook(CELL, name="add.summary.ipynb")
    assert procedure.summary == summary


@pytest.mark.parametrize(
    ("text", "title", "about"),
    [
        ("# A title\n\nOne, e.g. this\none. Two.", "A title", "One, e.g. this one."),
        ("# A title #\n\nOf [a link](http://x.org) and `code`", "A title", "Of a link and code"),
        ("## A title\n\nWith 0.5 of it. Then more.", "A title", "With 0.5 of it."),
        ("# A title\n\n## Next heading", "A title", ""),
        ("# A title\n\n$$ x = 1 $$", "A title", ""),
        ("No title. Only text.", "", ""),
    ],
)
def test_title_and_first_sentence(make_notebook, text, title, about):
    procedure = read_procedure(make_notebook(title=text))
    assert (procedure.title, procedure.about) == (title, about)


def test_detector_is_the_folder_in_the_package_only(make_notebook):
    assert read_procedure(make_notebook(name="jungfrau/add.ipynb")).detector == ""
    assert notebooks_root().is_dir()
    for procedure in find_procedures():
        assert read_procedure(procedure.path).detector == procedure.detector == procedure.path.parent.name


def test_find_leaves_out_what_is_no_procedure(make_notebook, tmp_path):
    for name in (
        "b/two",
        "b/one",
        "a/three",
        "b/one.summary",
        "b/.hidden",
        ".ipynb_checkpoints/one",
        "above",
    ):
        make_notebook(name=f"{name}.ipynb")
    make_notebook(name="b/.ipynb_checkpoints/one-checkpoint.ipynb")
    found = find_procedures(tmp_path)
    assert [(p.detector, p.name) for p in found] == [("a", "three"), ("b", "one"), ("b", "two")]
    assert broken_procedures(tmp_path) == {}


def test_a_broken_notebook_does_not_hide_the_others(make_notebook, tmp_path):
    make_notebook(name="b/good.ipynb")
    bad = make_notebook("run: int = 'x'", name="b/bad.ipynb")
    (tmp_path / "b/text.ipynb").write_text("no JSON")
    assert [p.name for p in find_procedures(tmp_path)] == ["good"]
    broken = broken_procedures(tmp_path)
    assert set(broken) == {bad, tmp_path / "b/text.ipynb"}
    assert "line 1" in broken[bad]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def code(source, *tags):
    return {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is not a notebook"),
        ("[]", "format 4"),
        ({"nbformat": 3, "worksheets": []}, "format 4"),
        ({"nbformat": 4, "cells": [{"cell_type": "code"}]}, "has no source"),
        ({"nbformat": 4, "cells": "abc"}, "has no source"),
        ({"nbformat": 4, "cells": []}, "tag `parameters`; add one"),
        ({"nbformat": 4, "cells": [code("run: int = 1")]}, "tag `parameters`; add one"),
        ({"nbformat": 4, "cells": [code("a = 1"), code("run: int = 1", "parameters")]}, "first code cell"),
        ({"nbformat": 4, "cells": [code("", "parameters"), code("", "parameters")]}, "no other"),
        (
            {"nbformat": 4, "cells": [code("", "parameters"), code("", "plan"), code("", "plan")]},
            "more than one",
        ),
        ({"nbformat": 4, "cells": [code("import os", "parameters")]}, "line 1"),
    ],
)
def test_what_is_no_procedure_is_told(tmp_path, content, why):
    with pytest.raises(BadInput) as error:
        read_procedure(write(tmp_path / "x.ipynb", content))
    assert why in str(error.value)
    assert "x.ipynb" in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match="No such file"):
        read_procedure(tmp_path / "x.ipynb")


def test_source_may_be_a_list_of_lines(tmp_path):
    cell = code(["run: int = 1  # run number\n", "task: str = ''  # task"], "parameters")
    procedure = read_procedure(write(tmp_path / "x.ipynb", {"nbformat": 4, "cells": [cell]}))
    assert list(procedure.parameters) == ["run", "task"]
