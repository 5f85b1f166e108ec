"""Running tasks on this machine: how each ends, and that none stops another."""

import os
import signal

import pytest

from calibook.files import read_json
from calibook.jobs.hashes import hash_file
from calibook.jobs.local import default_workers, run_local
from calibook.jobs.record import record_path
from calibook.jobs.state import begin_attempt, end_attempt, status_of
from calibook.procedures.tasks import Plan, Task

# text of the input: (state, words that the cause must have, cell, has a record)
ENDS = {
    "fine": ("done", "", 0),
    "bad": ("bad input", "{raw}/bad.txt, dataset /text, train 7: has a bad word", 3),
    "memory": ("out of memory", "MemoryError: no room", 3),
    "bug": ("bug", "ZeroDivisionError: division by zero", 3),
    "die": ("killed", "signal 9", 3),
    "lazy": ("bug", "left no {proc}/lazy.h5", 0),
    "unsteady": ("bad input", "{raw}/unsteady.txt", 0),
}


@pytest.fixture
def ended(ask):
    """All tasks ended, one for each way to end."""
    work = ask({name: name for name in ENDS}).write()
    return work, {status.name: status for status in run_local(work, workers=4)}


def test_every_end_is_told_and_stops_no_other(ended, raw, tmp_path):
    work, statuses = ended
    places = {"raw": raw, "proc": tmp_path / "proc"}
    for name, (state, cause, cell) in ENDS.items():
        status = statuses[name]
        assert (status.name, status.state, status.last.cell) == (name, state, cell), status
        assert cause.format(**places) in status.cause
        assert "\n" not in status.cause
        assert status.last.seconds > 0
        assert f"attempt 1 on {status.last.host}" in work.log(name).read_text()
    assert statuses["bug"].last.source_line.strip() == "1 / 0"
    assert statuses["fine"].last.peak_memory_mb > 20
    assert "ZeroDivisionError" in work.log("bug").read_text()
    assert "working on fine" in work.log("fine").read_text()
    assert all(work.executed(name).is_file() for name in ENDS)
    assert sorted(path.name for path in (tmp_path / "proc").iterdir()) == [
        "calibook",
        "fine.h5",
        "fine.record.json",
        "unsteady.h5",
    ]


def test_record_says_from_what_the_file_was_made(ask, raw, tmp_path):
    request = ask({"a": "hello"})
    work = request.write()
    assert [status.state for status in run_local(work)] == ["done"]
    output = tmp_path / "proc" / "a.h5"
    record = read_json(record_path(output))
    assert output.read_text() == "HELLO"
    assert (record["output"], record["size"]) == (str(output), 5)
    assert record["blake3"] == hash_file(str(output)).blake3
    [source] = record["inputs"]
    assert source == vars(hash_file(str(raw / "a.txt")))
    assert record["procedure"]["blake3"] == hash_file(str(work.notebook)).blake3
    assert record["parameters"]["in_folder"] == str(raw)
    assert record["attempts"] == 1
    assert {"calibook", "python", "numpy", "hdf5"} <= set(record["software"])
    assert record["seconds"] > 0
    assert record["peak memory [MB]"] > 20


def begun(work, name):
    """Folder and first attempt of a task."""
    folder = work.plan.task_folder(name)
    return folder, begin_attempt(folder)


def test_resume_does_only_what_is_missing(ask, raw, pretend_done, tmp_path):
    texts = {"a": "aa", "b": "bad", "c": "cc"}
    work = ask(texts).write()
    pretend_done(work, "a", "c")
    end_attempt(*begun(work, "b"), "bad input", "has a bad word")
    outputs = {name: tmp_path / "proc" / f"{name}.h5" for name in texts}
    before = outputs["c"].stat().st_mtime_ns
    (raw / "b.txt").write_text("better")
    outputs["a"].unlink()
    assert {status.name: status.state for status in status_of(work)} == {
        "a": "waiting",
        "b": "bad input",
        "c": "done",
    }
    statuses = run_local(work, workers=3)
    assert [(s.name, s.state, len(s.attempts)) for s in statuses] == [
        ("a", "done", 1),
        ("b", "done", 2),
        ("c", "done", 0),
    ]
    assert [outputs[name].read_text() for name in texts] == ["AA", "BETTER", "CC"]
    assert outputs["c"].stat().st_mtime_ns == before


def test_an_input_that_changed_since_makes_its_task_wait(ask, raw, pretend_done):
    work = ask({"a": "aa"}).write()
    pretend_done(work)
    os.utime(raw / "a.txt", (1, 1))  # a copy with another time stamp has the same content
    assert status_of(work)[0].state == "done"
    (raw / "a.txt").write_text("bb")
    assert status_of(work)[0].state == "waiting"


def test_a_task_that_cannot_even_start_is_told(ask, monkeypatch):
    work = ask({"a": "aa"}).write()
    command = ["/bin/sh", "-c", "echo oh dear >&2; exit 3"]
    monkeypatch.setattr("calibook.jobs.warm.WarmParent.start", lambda *_: None)  # not fit to fork
    monkeypatch.setattr("calibook.jobs.local.task_command", lambda *_: command)
    [status] = run_local(work)
    assert status.state == "bug"
    assert status.cause == "the task ended with exit code 3 before it began; see log.txt"
    assert "oh dear" in work.log("a").read_text()
    command[-1] = "kill -9 $$"
    [status] = run_local(work)
    assert (status.state, len(status.attempts)) == ("killed", 2)
    assert status.cause == f"killed by signal {signal.SIGKILL:d} (out of memory?)"


def test_workers_fit_into_memory():
    huge = [Task(str(number), memory_mb=10**9) for number in range(3)]
    assert default_workers(Plan(huge)) == 1
    assert default_workers(Plan([Task("a")])) == 1
