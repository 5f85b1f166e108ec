"""A procedure of one's own: a notebook in the package's folder, or anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import nbformat
import numpy as np
import pytest
from commands import calibook, figures, work_folder
from frames import write_module

import calibook as package
from calibook.files import read_json

PARAMETERS = """\
in_folder: str = ""        # folder of the raw runs; required
run: int = 0               # run number; required; 1..9999
out_folder: str = ""       # folder of the result; required
module: int = 1            # module to look at; >= 1
plan_file: str = ""        # plan that this run follows, empty by hand
task: str = ""             # task of the plan, empty for all"""

PLAN = """\
from pathlib import Path
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.procedures.tasks import Plan, Task, load_plan
from calibook.runs.discover import find_raw_files

files = find_raw_files(in_folder, run, JUNGFRAU, [module])
result = Path(out_folder).resolve() / "mean.h5"
plan = load_plan(plan_file) if plan_file else Plan(
    [Task("mean", inputs=[str(file.path.resolve()) for file in files], outputs=[str(result)])])"""

WORK = """\
import h5py
from calibook.files import whole_file

for item in plan.select(task):
    with h5py.File(item.inputs[0]) as raw:
        adc = raw[f"INSTRUMENT/FXE_XAD_JF1M/DET/JNGFR{module:02d}:daqOutput/data/adc"]
        mean = adc[:, 0].mean(axis=0)
    with whole_file(item.outputs[0]) as part, h5py.File(part, "w") as file:
        file["mean"] = mean"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Run 4 with three frames of random numbers."""
    folder = tmp_path_factory.mktemp("raw")
    adc = np.random.default_rng(1).integers(0, 1 << 14, (3, 512, 1024), dtype="u2")
    write_module(folder, 4, adc, np.zeros(adc.shape, "u1"))
    return folder


@pytest.fixture
def notebook(tmp_path) -> Path:
    """A procedure that means the raw frames of a module."""
    node = nbformat.v4.new_notebook()
    title = nbformat.v4.new_markdown_cell("# Mean of the raw frames\n\nMeans ADC counts over all trains.")
    code = [(["parameters"], PARAMETERS), (["plan"], PLAN), ([], WORK)]
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": tags}) for tags, source in code]
    node.cells = [title, *cells]
    path = tmp_path / "raw_mean.ipynb"
    nbformat.write(node, path)
    return path


@pytest.fixture
def installed(tmp_path) -> Path:
    """A copy of the package, as a wheel would install it; for PYTHONPATH."""
    root = tmp_path / "site"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(package.__file__).parent, root / "calibook", ignore=ignore)
    return root


def check_result(raw: Path, out: Path) -> None:
    with (
        h5py.File(raw / "r0004" / "RAW-R0004-JNGFR01-S00000.h5") as file,
        h5py.File(out / "mean.h5") as made,
    ):
        adc = file["INSTRUMENT/FXE_XAD_JF1M/DET/JNGFR01:daqOutput/data/adc"]
        np.testing.assert_array_equal(made["mean"], adc[:, 0].mean(axis=0))
    assert figures(work_folder(out))["tasks_done"]["value"] == 1


@pytest.mark.slow
def test_a_notebook_dropped_into_the_folder_is_a_command(raw, installed, notebook, tmp_path):
    """No other edit: it is listed, has help with its parameters, runs, and leaves a report."""
    shutil.copy(notebook, installed / "calibook" / "notebooks" / "jungfrau")
    there = {"PYTHONPATH": str(installed)}
    listed = calibook("list", **there).out.splitlines()
    [line] = (line for line in listed if line.startswith("jungfrau raw_mean "))
    assert line.endswith("Means ADC counts over all trains.")
    shown = calibook("jungfrau", "raw-mean", "--help", **there, expect=2).err
    assert "'raw_mean'" in shown
    shown = calibook("jungfrau", "raw_mean", "--help", **there).out
    assert "module to look at" in shown
    where = ("--in-folder", raw, "--run", 4, "--out-folder", tmp_path / "out")
    calibook("jungfrau", "raw_mean", *where, **there)
    check_result(raw, tmp_path / "out")
    work = work_folder(tmp_path / "out")
    assert work.name.startswith("jungfrau-raw_mean-")
    assert (work / "report.pdf").read_bytes().startswith(b"%PDF")
    assert read_json(work / "plan.json")["procedure"]["path"].startswith(str(installed))


def test_a_notebook_outside_runs_too(raw, notebook, tmp_path):
    where = ("--in-folder", raw, "--run", 4, "--out-folder", "out")
    calibook("run", "raw_mean.ipynb", *where, "--no-report", cwd=tmp_path)
    check_result(raw, tmp_path / "out")
    assert "raw_mean" not in calibook("list").out
