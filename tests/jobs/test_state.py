"""States that are read from what attempts have left."""

import socket
import subprocess
from dataclasses import replace

import psutil
import pytest

from calibook.jobs.state import (
    begin_attempt,
    end_attempt,
    is_alive,
    read_attempts,
    task_status,
    write_attempt,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tasks" / "a"


def test_attempts_are_claimed_and_kept(folder):
    first, second = begin_attempt(folder), begin_attempt(folder)
    assert (first.number, second.number) == (1, 2)
    assert (first.pid, first.host) == (psutil.Process().pid, socket.gethostname())
    end_attempt(folder, first, "bug", "two\n  lines", cell=2)
    found = list(read_attempts(folder))
    assert [(a.number, a.state, a.cause, a.cell) for a in found] == [
        (1, "bug", "two lines", 2),
        (2, "running", "", 0),
    ]


def test_a_claim_without_a_word_is_no_attempt(folder):
    (folder / "attempts" / "1").mkdir(parents=True)
    assert list(read_attempts(folder)) == []
    (folder / "attempts" / "1" / "state.json").touch()  # all that a power cut may leave
    assert list(read_attempts(folder)) == []
    assert begin_attempt(folder).number == 2


def test_running_needs_the_very_same_process(folder):
    with subprocess.Popen(["sleep", "60"]) as other:
        attempt = begin_attempt(folder, other.pid)
        assert is_alive(attempt)
        assert not is_alive(replace(attempt, process_started=attempt.process_started - 100))
        write_attempt(folder, replace(attempt, process_started=1.0))
        assert [a.state for a in read_attempts(folder)] == ["killed"]
        write_attempt(folder, attempt)
        other.kill()
        while psutil.Process(other.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert not is_alive(attempt)  # dead, though nobody has asked for its exit code
    [read] = read_attempts(folder)
    assert (read.state, read.ended) == ("killed", "")


def test_another_host_is_believed(folder):
    attempt = replace(begin_attempt(folder), host="elsewhere", pid=1, process_started=0.0)
    assert is_alive(attempt)
    assert not is_alive(attempt, elsewhere=False)


def test_status_of_a_task(ask):
    work = ask({"a": "aa"}).write()
    task = work.plan.tasks[0]
    assert task_status(work, task).state == "waiting"
    folder = work.plan.task_folder(task)
    attempt = begin_attempt(folder)
    assert task_status(work, task).state == "running"
    end_attempt(folder, attempt, "no constants", "none for this unit")
    status = task_status(work, task)
    assert (status.state, status.cause, status.failed) == ("no constants", "none for this unit", True)
    end_attempt(folder, begin_attempt(folder), "done")  # but there is no output and no record
    status = task_status(work, task)
    assert (status.state, status.failed, len(status.attempts)) == ("waiting", False, 2)
