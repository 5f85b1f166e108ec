"""A small procedure: each task turns a text file into capitals, slowly if asked."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from calibook.procedures.notebook import read_procedure
from calibook.procedures.values import check_values

PARAMETERS = """
in_folder: str = ""     # folder of the text files; required
out_folder: str = ""    # folder of the results; required
delay: float = 0.0      # pause after each part of a result [s]; >= 0
names: list[str] = []   # files to take, none for all
plan_file: str = ""     # plan of the request
task: str = ""          # task to do, empty for all
"""

PLAN = """
from pathlib import Path
from calibook.procedures.tasks import Plan, Task, load_plan

def make_plan():
    files = sorted(path.resolve() for path in Path(in_folder).glob("*.txt"))
    files = [path for path in files if not names or path.stem in names]
    tasks = [
        Task(path.stem, inputs=[str(path)], outputs=[str(Path(out_folder).resolve() / f"{path.stem}.h5")])
        for path in files
    ]
    return Plan(tasks, facts={"files": str(len(files))}, conditions={"Mood": "loud"}, space_mb=1)

plan = load_plan(plan_file) if plan_file else make_plan()
"""

WORK = """
import os, time
from calibook.errors import BadInput
from calibook.files import whole_file, write_json

for item in plan.select(task):
    source, text = Path(item.inputs[0]), Path(item.inputs[0]).read_text()
    print("working on", item.name)
    if text.startswith("bad"):
        raise BadInput(source, "has a bad word", "/text", 7)
    if text.startswith("memory"):
        raise MemoryError("no room")
    if text.startswith("bug"):
        1 / 0
    if text.startswith("die"):
        os.kill(os.getpid(), 9)
    if text.startswith("lazy"):
        continue
    if text.startswith("unsteady"):
        source.write_text("changed meanwhile")
    with whole_file(item.outputs[0]) as part, open(part, "w") as f:
        for letter in text:
            f.write(letter.upper())
            f.flush()
            time.sleep(delay)
    write_json(plan.task_folder(item) / "result.json", {"letters": len(text)})
"""

SUMMARY = """
from calibook.procedures.tasks import load_plan
from calibook.reports.verdict import Figure, Verdict
from calibook.files import read_json

plan = load_plan(plan_file)
results = [plan.task_folder(task) / "result.json" for task in plan.tasks]
letters = sum(read_json(path)["letters"] for path in results if path.exists())
Verdict([Figure("letters", letters, fail=(1, None))]).write(f"{plan.folder}/verdict.json")
"""


def write_notebook(path: Path, *cells: tuple[str, str]) -> Path:
    """A notebook with a title and code cells, given as (tag, source)."""
    node = nbformat.v4.new_notebook()
    node.cells = [nbformat.v4.new_markdown_cell(f"# Capitals {path.stem}\n\nMakes letters large.")]
    for tag, source in cells:
        metadata = {"tags": [tag]} if tag else {}
        node.cells.append(nbformat.v4.new_code_cell(source.strip(), metadata=metadata))
    for number, cell in enumerate(node.cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(node, path)
    return path


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Folder of inputs; nothing touches the user's own folders."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def capitals(tmp_path):
    """The procedure, without a summary."""
    return write_notebook(
        tmp_path / "books" / "capitals.ipynb", ("parameters", PARAMETERS), ("plan", PLAN), ("", WORK)
    )


@pytest.fixture
def summary(capitals):
    """Its summary notebook."""
    path = capitals.with_name("capitals.summary.ipynb")
    return write_notebook(path, ("parameters", 'plan_file: str = ""  # plan of the request'), ("", SUMMARY))


@pytest.fixture
def ask(capitals, raw, tmp_path):
    """Make a request: texts of the input files by name, further parameters by name."""
    from calibook.jobs.request import make_request

    def make(texts=None, *, overwrite=False, work_folder=None, **given):
        for name, text in (texts or {}).items():
            (raw / f"{name}.txt").write_text(text)
        procedure = read_procedure(capitals)
        values = check_values(
            procedure, {"in_folder": str(raw), "out_folder": str(tmp_path / "proc"), **given}
        )
        return make_request(procedure, values, work_folder, overwrite=overwrite)

    return make


@pytest.fixture
def pretend_done():
    """Leave in a work folder what a task leaves that ended well, without running it."""
    from calibook.jobs.hashes import hash_file
    from calibook.jobs.record import write_records

    def pretend(work, *names):
        for task in work.plan.tasks:
            if not names or task.name in names:
                text = Path(task.inputs[0]).read_text()
                Path(task.outputs[0]).write_text(text.upper())
                work.plan.task_folder(task).mkdir(parents=True, exist_ok=True)
                work.executed(task).write_text("{}")
                result = work.plan.task_folder(task) / "result.json"
                result.write_text(f'{{"letters": {len(text)}}}')
                inputs, made = ([hash_file(path) for path in paths] for paths in (task.inputs, task.outputs))
                write_records(work, task, inputs, made, 1.0, 100.0, [], 1)

    return pretend
