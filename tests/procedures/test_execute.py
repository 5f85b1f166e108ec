"""Notebooks run in real kernels: outputs, failures, deaths, sockets."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest

from calibook.errors import BadParameter
from calibook.procedures import sockets
from calibook.procedures.execute import CellFailed, KernelDied, execute
from calibook.procedures.failures import cause_of


@pytest.fixture
def run(make_notebook, tmp_path) -> Callable:
    """run(*cells, values=...) executes a notebook of these cells in tmp_path/work."""

    def run_cells(*cells: str, parameters="run: int = 1  # run number", values=None, on_cell=None):
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        notebook = make_notebook(parameters, *cells)
        return execute(notebook, values or {}, tmp_path / "out.ipynb", tmp_path / "log.txt", work, on_cell)

    return run_cells


def outputs(tmp_path: Path) -> list:
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    return [cell.outputs for cell in cells if cell.cell_type == "code"]


FACTS = """
import json, os, sys
import psutil
import matplotlib
me = psutil.Process()
print(json.dumps({
    "run": run, "text": text, "python": sys.executable, "cwd": os.getcwd(),
    "tcp": [str(c) for c in me.net_connections("inet")],
    "ipc": sorted(c.laddr for c in me.net_connections("unix") if c.laddr.startswith("/")),
    "backend": os.environ["MPLBACKEND"], "history": os.environ["IPYTHONDIR"],
}))
"""
FORK = """
child = os.fork()
if not child:
    print("from a forked child")
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
import time
time.sleep(0.3)  # the text comes through a socket
print("to stderr", file=sys.stderr)
"""
PLOT = "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1))\nplt.plot([1, 2]);"


def test_a_good_run(run, tmp_path, monkeypatch):
    """One kernel for many questions, since each costs a second."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    kernels = tmp_path / "jupyter/kernels/python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false"], "display_name": "mine", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    calls: list[tuple[int, int]] = []
    evil = "__import__('os')._exit(3)"
    parameters = 'run: int = 1  # run number\ntext: str = ""  # text'
    execution = run(
        FACTS,
        FORK,
        PLOT,
        parameters=parameters,
        values={"run": 5, "text": evil},
        on_cell=lambda *c: calls.append(c),
    )

    shown = outputs(tmp_path)
    facts = json.loads(shown[1][0].text)
    assert (facts["run"], facts["text"]) == (5, evil)
    assert facts["python"] == sys.executable
    assert facts["cwd"] == str(tmp_path / "work")
    assert facts["tcp"] == []
    assert len(facts["ipc"]) >= 5, "shell, iopub, stdin, control, heartbeat"
    assert all(len(address) < 108 for address in facts["ipc"])
    assert not Path(facts["ipc"][0]).parent.exists()
    assert not Path(facts["history"]).exists()
    assert "inline" in facts["backend"]
    assert "image/png" in shown[3][0].data

    log = (tmp_path / "log.txt").read_text()
    assert "from a forked child" in log
    assert "to stderr" in log
    assert calls == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert execution.cells == 4
    assert execution.seconds > 0
    # An idle kernel has some 40 MB; with matplotlib it is below a GB on any machine.
    assert 20 < execution.peak_memory_mb < 1000
    source = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[1].source
    assert source.startswith("run: int = 5  # run number")


def test_peak_memory_counts_what_was_freed(run):
    execution = run("block = b'x' * 300_000_000\ndel block")
    assert execution.peak_memory_mb > 300


def test_a_one_line_cell_is_no_magic_command(run, tmp_path):
    """IPython would take `run: int = 1` for %run, were automagic on."""
    run("print(run)", parameters="run: int = 1", values={"run": 7})
    assert outputs(tmp_path)[1][0].text == "7\n"


def test_a_failing_cell_tells_where(run, tmp_path):
    cells = (
        "def inverse(x):\n    y = x\n    return 1 / y",
        "print('before')\n\ninverse(0)\nprint('after')",
        "never = 1",
    )
    calls = []
    with pytest.raises(CellFailed) as error:
        run(*cells, on_cell=lambda *c: calls.append(c))
    failed = error.value
    assert (failed.cell, failed.line, failed.source_line) == (3, 3, "inverse(0)")
    assert (failed.ename, failed.evalue, failed.cause) == ("ZeroDivisionError", "division by zero", "bug")
    assert "return 1 / y" in failed.traceback
    assert "\x1b" not in failed.traceback
    assert failed.execution.cells == 2
    assert failed.execution.peak_memory_mb > 20
    assert calls[-1] == (2, 4)
    shown = outputs(tmp_path)
    assert [output.output_type for output in shown[2]] == ["stream", "error"]
    assert shown[3] == []
    again = pickle.loads(pickle.dumps(failed))
    assert (str(again), again.cause, again.execution) == (str(failed), "bug", failed.execution)


def test_an_error_of_ours_brings_its_cause(run):
    with pytest.raises(CellFailed) as error:
        run("from calibook.errors import BadInput\nraise BadInput('file.h5', 'is empty')")
    assert (error.value.cause, error.value.cell, error.value.line) == ("bad input", 2, 2)


def test_a_syntax_error_has_a_line_too(run):
    with pytest.raises(CellFailed) as error:
        run("a = 1\nb = (")
    assert (error.value.cause, error.value.cell, error.value.line) == ("bug", 2, 2)


@pytest.mark.parametrize(
    ("ename", "cause"),
    [
        ("NoConstants", "no constants"),
        ("MemoryError", "out of memory"),
        ("_ArrayMemoryError", "out of memory"),
        ("KeyboardInterrupt", "killed"),
        ("KeyError", "bug"),
        ("annotations", "bug"),
    ],
)
def test_cause_of(ename, cause):
    assert cause_of(ename) == cause


def test_a_kernel_that_crashes(run, tmp_path):
    with pytest.raises(KernelDied) as error:
        run("done = 1", "import ctypes\nctypes.string_at(0)")
    assert (error.value.cell, error.value.exit_code, error.value.cause) == (3, -11, "killed")
    assert error.value.execution.cells == 2
    assert error.value.execution.peak_memory_mb > 20
    assert outputs(tmp_path)[2][-1].ename == "KernelDied"
    assert "Segmentation fault" in (tmp_path / "log.txt").read_text()


def test_a_kernel_that_was_killed_hints_at_memory():
    assert "no memory left" in str(KernelDied(3, -9))
    again = pickle.loads(pickle.dumps(KernelDied(3, None)))
    assert (again.cell, again.exit_code, again.cause) == (3, None, "killed")


def test_bad_values_stop_it_before_anything_is_written(run, tmp_path):
    with pytest.raises(BadParameter):
        run(values={"rnu": 1})
    assert not (tmp_path / "out.ipynb").exists()
    assert not (tmp_path / "log.txt").exists()


DRIVER = """
import sys
from pathlib import Path
from calibook.procedures.execute import execute
folder = Path(sys.argv[1])
execute(folder / "add.ipynb", {}, folder / "out.ipynb", folder / "log.txt", folder)
"""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.05)


def test_kill_9_takes_the_kernel_along_and_leaves_finished_cells(make_notebook, tmp_path):
    make_notebook(
        "run: int = 1  # run number",
        "print('first cell done')",
        "import os\nopen('pid', 'w').write(str(os.getpid()))\nimport time\ntime.sleep(600)",
    )
    scratch = Path(tempfile.mkdtemp(prefix="kill-"))  # sockets' names must be short
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], env=environment)
    pid_file = tmp_path / "pid"
    try:
        wait_for(lambda: pid_file.exists() and pid_file.read_text().isdigit(), "the long cell")
        kernel_process = psutil.Process(int(pid_file.read_text()))
        assert kernel_process.ppid() == process.pid
        [folder] = scratch.iterdir()
        sockets.remove_left_over(scratch)
        assert folder.exists()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        sockets.remove_left_over(scratch)
        scratch.rmdir()  # fails if anything was left
    wait_for(lambda: not kernel_process.is_running(), "the end of the kernel")
    shown = outputs(tmp_path)
    assert shown[1][0].text == "first cell done\n"
    assert shown[2] == []


def test_a_kernel_whose_parent_is_gone_does_not_start():
    result = subprocess.run(
        [sys.executable, "-P", "-m", "calibook.procedures.kernel_process"],
        env={**os.environ, "JPY_PARENT_PID": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "is gone" in result.stderr


def test_only_the_whole_notebook_is_waited_for_on_the_disk(run, tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("calibook.files.os.fsync", flushed.append)
    seen = []
    run(
        "print(1)",
        "print(2)",
        on_cell=lambda done, _: seen.append((done, len(outputs(tmp_path)), len(flushed))),
    )
    assert seen == [(0, 3, 0), (1, 3, 0), (2, 3, 0), (3, 3, 0)]
    assert len(flushed) == 2  # the file, and its folder
