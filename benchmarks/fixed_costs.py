"""What is paid however little there is to do: per task, and per file that is planned."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import numpy as np

from benchmarks.timing import Comparison, Figure, seconds
from calibook.calibration.planning.corrections import plan_correction
from calibook.constants import Condition, Store, as_stored
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.jobs.local import run_local
from calibook.jobs.request import make_request
from calibook.jobs.work import Work
from calibook.procedures.notebook import read_procedure
from calibook.procedures.values import check_values
from calibook.simulation.jungfrau import simulate_run
from calibook.simulation.jungfrau_settings import JungfrauSettings

_FILES = 20_000
_TASKS = (2, 10)
# What a correction's notebook imports, without any work.
_IMPORTS = """
import h5py
import numba
import numpy
import pandas
import matplotlib.pyplot
"""
_PARAMETERS = 'out_folder: str = ""  # folder of the results\ntasks: int = 1  # number of tasks\n'
_RESERVED = 'plan_file: str = ""  # plan of the request\ntask: str = ""  # task to do\n'
_PLAN = """
from calibook.procedures.tasks import Plan, Task, load_plan

plan = load_plan(plan_file) if plan_file else Plan([Task(f"t{number}") for number in range(tasks)])
"""


def comparisons(folder: Path) -> Iterator[Comparison]:
    """A task against papermill's command line with the same notebook."""
    notebook = _notebook(folder)
    executed = folder / "papermill.ipynb"

    def papermill() -> None:
        subprocess.run(
            [sys.executable, "-m", "papermill", "--no-progress-bar", str(notebook), str(executed)],
            check=True,
            capture_output=True,
        )

    def check() -> None:
        papermill()
        work = _work(folder, notebook, "check", 1)
        run_local(work)
        for path in (executed, work.executed("t0")):
            assert all(not cell.get("outputs") for cell in nbformat.read(path, 4).cells)

    names = iter(range(1000))

    def ten_tasks() -> None:
        for _ in run_local(_work(folder, notebook, f"c{next(names)}", 10), workers=1):
            pass

    def ten_papermills() -> None:
        for _ in range(10):
            papermill()

    yield Comparison("task_vs_papermill", "papermill's command line", ten_tasks, ten_papermills, check, 1)


def figures(folder: Path) -> Iterator[Figure]:
    """Seconds, not ratios: nothing else does the same."""
    notebook = _notebook(folder)
    few, many = _TASKS
    times = []
    for turn in range(3):
        took = [
            _seconds_of_tasks(_work(folder, notebook, f"{turn}-{number}", number)) for number in (few, many)
        ]
        times.append((took[1] - took[0]) / (many - few))
    yield Figure.of("task_overhead_s", "seconds per empty task, one at a time", times)
    plan = _planning(folder / "planned")
    yield Figure.of("plan_20000_files_s", "seconds", [seconds(plan) for _ in range(3)])


def _seconds_of_tasks(work: Work) -> float:
    def run() -> None:
        assert all(status.state == "done" for status in run_local(work, workers=1))

    return seconds(run)


def _notebook(folder: Path) -> Path:
    """A notebook that imports what others import, and does nothing."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell("# Nothing\n\nDoes nothing.")]
    cells.append(v4.new_code_cell((_PARAMETERS + _RESERVED).strip(), metadata={"tags": ["parameters"]}))
    cells.append(v4.new_code_cell(_PLAN.strip(), metadata={"tags": ["plan"]}))
    cells.append(v4.new_code_cell(_IMPORTS.strip()))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / "nothing.ipynb"
    nbformat.write(v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def _work(folder: Path, notebook: Path, name: str, tasks: int) -> Work:
    procedure = read_procedure(notebook)
    values = check_values(procedure, {"out_folder": str(folder / "nothing" / name), "tasks": tasks})
    return make_request(procedure, values).write()


def _planning(folder: Path) -> Callable[[], None]:
    """A run of 20 000 names of 8 small files, and constants for them."""
    settings = JungfrauSettings(run=1, trains=1, modules=8, scene="dark")
    simulated = simulate_run(folder / "raw", settings)
    sequences = range(1, _FILES // 8)
    for path in simulated:
        if "CTRL" not in path.name:
            for sequence in sequences:
                os.link(path, str(path).replace("S00000", f"S{sequence:05d}"))
    store = Store(folder / "store")
    for module in range(1, 9):
        _put(store, settings.karabo_id, f"JNGFR{module:02d}")

    def plan() -> None:
        made = plan_correction(
            JUNGFRAU,
            in_folder=str(folder / "raw"),
            run=1,
            out_folder=str(folder / "proc"),
            constants={"Offset10Hz": True},
            store=str(store.folder),
        )
        assert len(made.tasks) == _FILES

    return plan


def _put(store: Store, karabo_id: str, aggregator: str) -> None:
    facts, begin = JUNGFRAU.constants["Offset10Hz"], "2020-01-01T00:00:00.000+00:00"
    conditions = {
        "Sensor Bias Voltage": 180.0,
        "Memory Cells": 1.0,
        "Pixels X": 1024.0,
        "Pixels Y": 512.0,
        "Integration Time": 10.0,
        "Gain Setting": 0.0,
        "Sensor temperature": 291.0,
    }
    axes = ("cell", "gain", "slow_scan", "fast_scan")
    store.put(
        as_stored(np.zeros((1, 3, *JUNGFRAU.module_shape), facts.dtype), axes, facts.dims, facts.dtype),
        calibration="Offset10Hz",
        pdu=store.unit_of(karabo_id, aggregator, begin),
        detector_type=JUNGFRAU.detector_type,
        conditions=[Condition(name, value, 1.0, 1.0) for name, value in conditions.items()],
        begin=begin,
        dims=facts.dims,
    )
