"""run, status, resume, reproduce, task at the command line."""

import json
import os
import subprocess
import sys

import nbformat
import pytest

from calibook.cli.main import main
from calibook.files import blake3
from calibook.jobs.settings import SlurmSettings

PARAMETERS = """
in_folder: str = ""     # folder of the text files; required
out_folder: str = ""    # folder of the results; required
plan_file: str = ""     # plan of the request
task: str = ""          # task to do, empty for all
"""

PLAN = """
from pathlib import Path
from calibook.procedures.tasks import Plan, Task, load_plan

files = sorted(path.resolve() for path in Path(in_folder).glob("*.txt"))
out = Path(out_folder).resolve()
tasks = [Task(p.stem, inputs=[str(p)], outputs=[str(out / f"{p.stem}.h5")], constants=[0]) for p in files]
constants = [{"calibration": "Offset", "pdu": "Unit_1", "id": 3, "begin": "2025-01-01", "blake3": "0" * 64}]
made = Plan(tasks, facts={"files": str(len(files))}, constants=constants, space_mb=1)
plan = load_plan(plan_file) if plan_file else made
"""

WORK = """
from calibook.errors import BadInput
from calibook.files import write_text

for item in plan.select(task):
    text = Path(item.inputs[0]).read_text()
    if text.startswith("bad"):
        raise BadInput(item.inputs[0], "has a bad [bold]word[/bold]", "/text")
    write_text(item.outputs[0], text.upper())
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `calibook ...` in this process: exit code, and what it printed on both streams."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture
def request_args(tmp_path):
    """A notebook that makes text large, two inputs of which one is bad, and the command for them."""
    node = nbformat.v4.new_notebook()
    node.cells = [nbformat.v4.new_markdown_cell("# Capitals\n\nMakes letters large.")]
    for tags, source in ((["parameters"], PARAMETERS), (["plan"], PLAN), ([], WORK)):
        node.cells.append(nbformat.v4.new_code_cell(source.strip(), metadata={"tags": tags}))
    nbformat.write(node, tmp_path / "capitals.ipynb")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("aa")
    (tmp_path / "raw" / "b.txt").write_text("bad")
    return ["run", "capitals.ipynb", "--in-folder", "raw", "--out-folder", "proc"]


def work_folder(tmp_path):
    [folder] = (tmp_path / "proc" / "calibook").iterdir()
    return folder


def test_dry_run_shows_the_plan_and_writes_nothing(run, request_args, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = run(*request_args, "--dry-run")
    assert code == 0
    for words in (
        "Capitals",
        "Offset",
        "Unit_1",
        "a.txt",
        "b.h5",
        "1 MB",
        str(tmp_path / "proc" / "calibook"),
    ):
        assert words in out
    assert sorted(tmp_path.rglob("*")) == before


def test_run_status_resume(run, request_args, tmp_path):
    raw, proc = tmp_path / "raw", tmp_path / "proc"
    code, out, _ = run(*request_args, "--no-report", "--workers", "2")
    work = work_folder(tmp_path)
    why = f"b: bad input: {raw / 'b.txt'}, dataset /text: has a bad [bold]word[/bold]"
    assert code == 1
    assert why in out
    assert f"calibook status {work}" in out
    assert (proc / "a.h5").read_text() == "AA"
    assert not (proc / "b.h5").exists()
    assert json.loads((work / "verdict.json").read_text())["figures"]["tasks_failed"]["value"] == 1

    code, out, _ = run("status", work)
    assert code == 1
    for words in ("1 bad input, 1 done", why, "cell 3, line 7: raise BadInput", "end of ", "calibook resume"):
        assert words in out
    code, out, _ = run("status", "--json", work)
    told = json.loads(out)
    assert (code, told["counts"]) == (1, {"done": 1, "bad input": 1})
    assert [task["name"] for task in told["tasks"]] == ["a", "b"]
    assert told["tasks"][1]["attempts"][0]["cell"] == 3

    (raw / "b.txt").write_text("better")
    code, out, _ = run("resume", work, "--no-report")
    assert (code, (proc / "b.h5").read_text()) == (0, "BETTER")
    assert "verdict" in out
    assert run("status", work)[0] == 0
    code, out, _ = run("task", work, "a")
    assert (code, out) == (0, "a: done\n")


def test_resume_asks_before_it_replaces_what_another_made(run, request_args, tmp_path):
    (tmp_path / "raw" / "b.txt").unlink()
    assert run(*request_args, "--no-report")[0] == 0
    output = tmp_path / "proc" / "a.h5"
    record = output.with_name("a.record.json")
    record.write_text(record.read_text().replace('"task key": "', '"task key": "other'))
    code, _, err = run("resume", work_folder(tmp_path), "--no-report")
    assert code == 2
    assert "a.h5 is there already, made by another request" in err


def test_reproduce(run, request_args, tmp_path, monkeypatch):
    (tmp_path / "raw" / "b.txt").unlink()
    assert run(*request_args, "--no-report")[0] == 0
    output = tmp_path / "proc" / "a.h5"
    record, before = output.with_name("a.record.json"), blake3(output)
    code, out, _ = run("reproduce", record)
    assert code == 1
    assert "differs: constant Offset Unit_1 3" in out  # there is no such constant in any store

    monkeypatch.setattr("calibook.constants.load_pinned", lambda constant: None)
    output.unlink()
    code, out, _ = run("reproduce", record)
    assert (code, out) == (0, f"identical: {output}, put back in its place\n")
    assert blake3(output) == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["status"], "Missing argument 'WORK'"),
        (["status", "nowhere"], "nowhere is no work folder"),
        (["resume", "nowhere"], "nowhere is no work folder"),
        (["resume", "nowhere", "--workers", "0"], "--workers"),
        (["reproduce", "nothing.json"], "nothing.json can't be read as a record"),
        (["task", "nowhere", "a"], "nowhere is no work folder"),
    ],
)
def test_commands_that_are_wrong(run, args, words):
    code, _, err = run(*args)
    assert code == 2
    assert words in err


def test_a_task_that_is_not_in_the_plan(run, request_args, tmp_path):
    run(*request_args, "--no-report")
    code, _, err = run("task", work_folder(tmp_path), "zebra")
    assert code == 2
    assert "zebra" in err


def test_plans_for_a_cluster_are_made_for_the_threads_of_its_jobs(run, request_args, tmp_path, monkeypatch):
    """Memory that tasks need depends on their threads; the machine that plans may have a hundred."""
    book = nbformat.read(tmp_path / "capitals.ipynb", as_version=4)
    book.cells[2].source += "\nimport os\nmade.facts['threads'] = os.environ.get('CALIBOOK_THREADS', 'any')"
    nbformat.write(book, tmp_path / "capitals.ipynb")
    monkeypatch.delenv("CALIBOOK_THREADS", raising=False)
    for settings, threads in ((None, "any"), (SlurmSettings(cpus=3), "3")):
        monkeypatch.setattr("calibook.cli.jobs.chosen", lambda settings=settings, **_: settings)
        monkeypatch.setattr("calibook.cli.preview.show_submission", lambda work, settings: None)
        _, out, _ = run(*request_args, "--dry-run")
        assert ["threads", threads] in [line.split() for line in out.splitlines()]
        assert "CALIBOOK_THREADS" not in os.environ


def test_planning_is_quick_to_load():
    """What takes long to import is imported when a task or a report needs it."""
    code = "import sys, calibook.jobs.local, calibook.jobs.request, calibook.jobs.finish; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "calibook.jobs.local" in loaded
    assert not {"papermill", "nbclient", "matplotlib", "numba", "sphinx", "pandas"} & set(loaded)
