"""Tasks forked from a process that has loaded everything."""

import os
import signal
import threading
import time

import nbformat
import psutil

from calibook.jobs.local import run_local
from calibook.jobs.state import status_of

LOADED = """
import sys
print("numpy" in sys.modules, "mine" in sys.modules)
import numpy
import mine
"""


def loader_of(work) -> psutil.Process | None:
    for child in psutil.Process().children():
        if "calibook.jobs.warm_process" in child.cmdline() and str(work.folder) in child.cmdline():
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
