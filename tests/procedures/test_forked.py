"""Notebooks in forked kernels: the same as in kernels that are started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import nbformat
import pytest

CELLS = (
    "import os, sys, json\nprint('text')\nprint('to stderr', file=sys.stderr)",
    "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1))\nplt.plot([1, 2]);",
    "import pandas\npandas.DataFrame({'a': [1.5]})",
    "import h5py\nleft_open = h5py.File('left.h5', 'w')\nleft_open['x'] = [1, 2, 3]\n"
    "text = open('left.txt', 'w')\ntext.write('left')",
    "print(json.dumps([os.getcwd(), os.environ['MPLBACKEND'], os.getsid(0) == os.getpid(), os.getppid()]))",
    "def inverse(x):\n    return 1 / x\n\ninverse(0)",
)
# A process of one thread that forks kernels and runs notebooks in them.
DRIVER = """
import json, os, sys
from pathlib import Path
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
for name in sys.argv[3:]:
    __import__(name)
from calibook.procedures.execute import CellFailed, KernelDied, execute
from calibook.procedures.forked import WaitingKernel

folder, forked = Path(sys.argv[1]), sys.argv[2] == "forked"
kernel = WaitingKernel() if forked else None
ended = {"pid": os.getpid()}
work = folder / sys.argv[2]
work.mkdir()
try:
    execute(folder / "add.ipynb", {}, work / "out.ipynb", work / "log.txt", work, None, kernel)
except CellFailed as error:
    ended |= {"cell": error.cell, "line": error.line, "peak": error.execution.peak_memory_mb}
except KernelDied as error:
    ended |= {"cell": error.cell, "code": error.exit_code}
if kernel:
    kernel.discard()
    ended["left"] = kernel.returncode
print(json.dumps(ended))
"""


def run(folder: Path, how: str, *loaded: str) -> dict:
    """Run `add.ipynb` of a folder in a process that has loaded some modules; how it ended."""
    command = [sys.executable, "-P", "-c", DRIVER, str(folder), how, *loaded]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def outputs(folder: Path) -> list:
    cells = nbformat.read(folder / "out.ipynb", as_version=4).cells
    return [cell.outputs for cell in cells if cell.cell_type == "code"]


def test_outputs_are_those_of_a_kernel_that_was_started(make_notebook, tmp_path):
    make_notebook("run: int = 1  # run number", *CELLS)
    ended, found, facts = {}, {}, {}
    for how in ("started", "forked"):
        ended[how] = run(tmp_path, how, "matplotlib.pyplot", "numpy", "pandas")
        found[how] = outputs(tmp_path / how)
        facts[how] = json.loads(found[how].pop(5)[0].text)
        assert facts[how] == [str(tmp_path / how), *facts["started"][1:3], ended[how]["pid"]]
        with h5py.File(tmp_path / how / "left.h5") as f:
            assert f["x"][()].tolist() == [1, 2, 3]
        assert (tmp_path / how / "left.txt").read_text() == "left"
        assert "to stderr" in (tmp_path / how / "log.txt").read_text()
    assert found["forked"] == found["started"]
    assert "image/png" in found["forked"][2][0].data
    assert "<table" in found["forked"][3][0].data["text/html"]
    assert found["forked"][5][0].ename == "ZeroDivisionError"
    assert {(end["cell"], end["line"]) for end in ended.values()} == {(7, 2)}
    assert 20 < ended["forked"]["peak"] < 1000
    assert ended["forked"]["left"] == 0


@pytest.mark.parametrize(
    ("source", "code"),
    [("import ctypes\nctypes.string_at(0)", -11), ("import os\nos.kill(os.getpid(), 9)", -9)],
)
def test_a_forked_kernel_that_dies_is_told(make_notebook, tmp_path, source, code):
    make_notebook("run: int = 1  # run number", "done = 1", source)
    ended = run(tmp_path, "forked")
    assert (ended["cell"], ended["code"], ended["left"]) == (3, code, code)
    assert outputs(tmp_path / "forked")[2][-1].ename == "KernelDied"
    if code == -11:
        assert "Segmentation fault" in (tmp_path / "forked" / "log.txt").read_text()


def test_a_kernel_that_nobody_used_ends():
    code = (
        "from calibook.procedures.forked import WaitingKernel as W; k = W(); k.discard(); print(k.returncode)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("0\n", 0)


def test_forked_kernels_do_not_share_random_numbers(make_notebook, tmp_path):
    make_notebook("run: int = 1  # run number", "import numpy\nprint(numpy.random.random())")
    numbers = set()
    for how in ("one", "two"):
        work = tmp_path / how
        work.mkdir()
        (work / "add.ipynb").write_text((tmp_path / "add.ipynb").read_text())
        run(work, "forked", "numpy.random")
        numbers.add(outputs(work / "forked")[1][0].text)
    assert len(numbers) == 2
