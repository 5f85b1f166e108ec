"""Requests: when they are the same, and what is refused before anything is written."""

import json
import os
import shutil

import pytest

from calibook.errors import BadInput, BadParameter
from calibook.files import write_json
from calibook.jobs import checks
from calibook.jobs.record import record_path
from calibook.jobs.work import open_work
from calibook.procedures.tasks import Plan, Task


def test_planning_writes_nothing(ask, tmp_path):
    request = ask({"a": "aa"})
    assert request.folder == tmp_path / "proc" / "calibook" / f"capitals-{request.id[:8]}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["books", "raw"]


def test_same_request_same_id_and_nothing_is_written_again(ask, capitals):
    first = ask({"a": "aa", "b": "bb"})
    work = first.write()
    before = work.plan_file.read_bytes()
    again = ask()
    assert (again.id, again.folder, again.continues) == (first.id, first.folder, True)
    again.write()
    assert work.plan_file.read_bytes() == before
    assert open_work(work.folder).plan == first.plan
    assert ask(delay=0.5).id != first.id
    assert ask(names=["a"]).id != first.id
    capitals.write_text(capitals.read_text().replace("working on", "busy with"))
    assert ask().id != first.id


def test_tasks_run_a_copy_of_the_notebook(ask, capitals):
    request = ask({"a": "aa"})
    work = request.write()
    planned = work.notebook.read_bytes()
    capitals.write_text(capitals.read_text().replace("working on", "busy with"))
    assert work.notebook.read_bytes() == planned
    with pytest.raises(BadInput, match="edited just now"):
        ask_again = ask(delay=0.1)
        capitals.write_text(capitals.read_text().replace("busy with", "at"))
        ask_again.write()
    assert not ask_again.continues


def test_task_key_tells_tasks_of_other_requests_apart(ask):
    one, two = ask({"a": "aa"}).work, ask(delay=1.0).work
    task = one.plan.tasks[0]
    assert one.key(task) == ask().work.key(task)
    assert one.key(task) != two.key(two.plan.tasks[0])


def test_another_requests_output_is_not_overwritten(ask, tmp_path):
    output = tmp_path / "proc" / "a.h5"
    work = ask({"a": "aa"}).write()
    output.write_text("precious")
    with pytest.raises(BadParameter, match=r"a\.h5 is there already, made by somebody else .*--overwrite"):
        ask()
    write_json(record_path(output), {"task key": "another"})
    with pytest.raises(BadParameter, match=r"a\.h5 is there already, made by another request .*--overwrite"):
        ask()
    assert ask(overwrite=True).id == work.id
    write_json(record_path(output), {"task key": work.key(work.plan.tasks[0])})
    assert ask().id == work.id


def test_a_work_folder_belongs_to_one_request(ask, tmp_path):
    work = ask({"a": "aa"}, work_folder=tmp_path / "mine").write()
    assert work.folder == tmp_path / "mine"
    with pytest.raises(BadParameter, match="mine belongs to another request"):
        ask(work_folder=tmp_path / "mine", delay=1.0)


@pytest.mark.parametrize("out", ["raw", "raw/below", "link"])
def test_nothing_is_written_into_the_folder_of_the_inputs(ask, raw, tmp_path, out):
    (tmp_path / "link").symlink_to(raw)
    with pytest.raises(BadParameter, match=f"would be written into {raw}, where the input files are"):
        ask({"a": "aa"}, out_folder=out)


def test_out_folder_that_is_a_file(ask, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadParameter, match="taken is a file"):
        ask({"a": "aa"}, out_folder="taken/proc")


def test_out_folder_without_permission(ask, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    with pytest.raises(BadParameter, match="can't be written: permission denied"):
        ask({"a": "aa"})


def test_full_disk(ask, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 1 << 40, 9 << 20)
    )
    with pytest.raises(BadParameter, match="has 9 MB free, but the outputs need 1 MB"):
        ask({"a": "aa"})


def test_inputs_that_are_gone_are_named(tmp_path):
    there, gone = tmp_path / "raw" / "there", tmp_path / "raw" / "gone"
    there.parent.mkdir()
    there.write_text("x")
    some = [Task("a", inputs=[str(there)]), Task("b", inputs=[str(gone)])]
    plan = Plan(some, folder=str(tmp_path / "work" / "x"))
    assert checks.unreadable_inputs(plan) == {str(gone): "there is no such file"}
    with pytest.raises(BadInput, match="gone: there is no such file"):
        checks.check_plan(Plan(some[1:], folder=plan.folder))


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "nothing to do: the plan has no task\n  /x: is empty"),
        ([Task("../up")], "not a name for a folder"),
        ([Task("..")], "not a name for a folder"),
        ([Task("a\nb")], "not a name for a folder"),
        ([Task("x" * 300)], "not a name for a folder"),
        ([Task("a", outputs=["here.h5"])], "not an absolute path: here.h5"),
        ([Task("a", outputs=["/o/x"]), Task("b", outputs=["/o/../o/x"])], "two tasks, a and b, would write"),
        ([Task("a", inputs=["/i/x"], outputs=["/i/x"])], "task a would overwrite the input /i/x"),
    ],
)
def test_plans_that_cannot_be(tasks, message):
    with pytest.raises(BadParameter) as error:
        checks.check_plan(Plan(tasks, problems={"/x": "is empty"}, folder="/some/folder"))
    assert message in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"version": 99})])
def test_what_is_no_work_folder(tmp_path, content):
    with pytest.raises(BadParameter, match="no work folder"):
        open_work(tmp_path)
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(BadParameter, match=r"plan\.json"):
        open_work(tmp_path)


@pytest.mark.parametrize(
    ("output", "record"),
    [("/p/A.h5", "/p/A.record.json"), ("/p/A.png", "/p/A.png.record.json"), ("/p/A", "/p/A.record.json")],
)
def test_record_lies_beside_its_output(output, record):
    assert str(record_path(output)) == record
