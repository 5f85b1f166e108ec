"""Tasks forked from a process that has loaded everything."""

import os
import signal
import subprocess
import sys
import threading
import time

import nbformat
import psutil
import pytest

from calibook.errors import BadParameter
from calibook.jobs.finish import finish
from calibook.jobs.local import run_local
from calibook.jobs.state import status_of
from calibook.jobs.warm import WarmParent
from calibook.procedures.notebook import read_procedure

LOADED = """
import sys
print("numpy" in sys.modules, "mine" in sys.modules)
import numpy
import mine
"""


def loader_of(work) -> psutil.Process | None:
    for child in psutil.Process().children():
        if "calibook.jobs.warm_process" in child.cmdline() and str(work.notebook) in child.cmdline():
            return child
    return None


def in_thread(action):
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def test_a_task_finds_loaded_what_is_safe_to_load_and_nothing_else(ask, capitals, tmp_path, monkeypatch):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "mine.py").write_text("loaded = True\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    node = nbformat.read(capitals, as_version=4)
    node.cells.insert(-1, nbformat.v4.new_code_cell(LOADED.strip()))
    nbformat.write(node, capitals)
    work = ask({"a": "aa", "b": "bb"}).write()
    assert [status.state for status in run_local(work)] == ["done", "done"]
    for name in "ab":
        assert "True False" in work.log(name).read_text()
    assert loader_of(work) is None


def test_tasks_outlive_the_process_that_forked_them(ask, tmp_path):
    work = ask({"a": "slow words", "b": "more words"}, delay=0.1).write()

    def kill():
        end = time.monotonic() + 60
        while not any(status.state == "running" for status in status_of(work)) and time.monotonic() < end:
            time.sleep(0.01)
        loader_of(work).kill()

    killer = in_thread(kill)
    statuses = run_local(work, workers=1)
    killer.join()
    assert [(status.state, len(status.attempts)) for status in statuses] == [("done", 1), ("done", 1)]


def test_a_killed_task_is_told_with_its_signal(ask):
    work = ask({"a": "slow words" * 20}, delay=0.1).write()

    def kill():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            [status] = status_of(work)
            if status.state == "running" and status.last.cells_done == 2:
                break
            time.sleep(0.01)
        os.kill(status.last.pid, signal.SIGKILL)

    killer = in_thread(kill)
    [status] = run_local(work)
    killer.join()
    assert (status.state, status.cause) == ("killed", "killed by signal 9 (out of memory?)")


@pytest.fixture
def no_cold_summary(monkeypatch):
    """It can't be run in this process."""
    monkeypatch.setattr("calibook.jobs.summary.run_summary", lambda *_: pytest.fail("not forked"))


def test_a_summary_is_forked_from_what_has_run_the_tasks(ask, summary, no_cold_summary):
    work = ask({"a": "aa"}).write()
    with WarmParent(work.notebooks) as warm:
        run_local(work, warm=warm)
        for _ in range(2):  # a request may be finished again
            finished = finish(work, report=False, warm=warm)
            assert finished.problems == ()
            assert '"letters"' in finished.verdict.read_text()
    assert loader_of(work) is None


def test_why_a_forked_summary_failed_is_told(ask, summary, no_cold_summary):
    summary.write_text(summary.read_text().replace("letters = sum", "letters = 1 / 0 #"))
    work = ask({"a": "aa"}).write()
    with WarmParent(work.notebooks) as warm:
        run_local(work, warm=warm)
        finished = finish(work, report=False, warm=warm)
        assert "ZeroDivisionError" in finished.problems[0]
        work.summary_notebook.write_text(summary.read_text().replace("1 / 0", "__import__('os')._exit(3)"))
        assert "summary: " in finish(work, report=False, warm=warm).problems[0]


def test_a_summary_whose_loader_was_killed_is_run_all_the_same(ask, summary):
    work = ask({"a": "aa"}).write()
    with WarmParent(work.notebooks) as warm:
        run_local(work, warm=warm)
        loader = loader_of(work)
        loader.kill()
        while loader.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert finish(work, report=False, warm=warm).problems == ()


@pytest.mark.parametrize("fails", [False, True])
def test_commands_that_run_nothing_leave_no_process(capitals, raw, tmp_path, monkeypatch, fails):
    from calibook.cli.jobs import run_request
    from calibook.procedures.values import check_values

    (raw / "a.txt").write_text("aa")
    procedure = read_procedure(capitals)
    values = check_values(procedure, {"in_folder": str(raw), "out_folder": str(tmp_path / "proc")})
    if fails:

        def refuse(*_, **__):
            raise BadParameter("no such plan")

        monkeypatch.setattr("calibook.jobs.request.make_request", refuse)
        with pytest.raises(BadParameter, match="no such plan"):
            run_request(procedure, values)
    else:
        run_request(procedure, values, dry_run=True)
    assert not [p for p in psutil.Process().children() if "calibook.jobs.warm_process" in p.cmdline()]
    assert not (tmp_path / "proc").exists()


def test_a_summary_ends_with_the_runner_that_is_asked_to_end(ask, summary):
    summary.write_text(
        summary.read_text().replace("letters = sum", "__import__('time').sleep(60); letters = sum")
    )
    work = ask({"a": "aa"}).write()

    def stop():
        executed = work.folder / "summary" / work.summary_notebook.name
        end = time.monotonic() + 30
        while not executed.is_file() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with WarmParent(work.notebooks) as warm:
        run_local(work, warm=warm)
        stopper = in_thread(stop)
        with pytest.raises(KeyboardInterrupt):
            finish(work, report=False, warm=warm)
        stopper.join()
        family = loader_of(work).children(recursive=True)
        assert not psutil.wait_procs(family, timeout=20)[1]


def test_compiled_code_has_its_linear_algebra_though_nothing_of_it_was_loaded():
    code = """
import sys, numpy, numba
from calibook.jobs import warm_process
warm_process._load_numba()
print("scipy.linalg" in sys.modules, numba.njit(lambda a: numpy.dot(a, a))(numpy.ones(3)))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "3.0"]
