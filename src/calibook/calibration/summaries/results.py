"""What a task leaves for the summary: small arrays and numbers, one file per task."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from calibook.files import read_json, whole_file
from calibook.procedures.tasks import Plan, Task

RESULTS_FILE = "results.npz"
_LEVEL = 1
"""Maps of pixels become hardly smaller at the level that NumPy takes, in several times the time."""


def save_results(plan: Plan, task: Task, results: dict[str, Any]) -> Path:
    """Write numbers, texts and arrays by name; the file appears whole.

    Returns the path of the file in the task's folder.
    """
    path = plan.task_folder(task) / RESULTS_FILE
    with whole_file(path) as part, ZipFile(part, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, value in results.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as f:
                np.lib.format.write_array(f, np.asanyarray(value), allow_pickle=False)
    return path


def load_results(plan: Plan) -> dict[str, dict[str, Any]]:
    """Results of all tasks that left some: {task name: {name: array or number}}.

    Tasks that failed are simply not there: a summary is made of what there is.
    """
    found = {}
    for task in plan.tasks:
        path = plan.task_folder(task) / RESULTS_FILE
        if path.is_file():
            with np.load(path, allow_pickle=False) as file:
                found[task.name] = {name: _scalar(file[name]) for name in file.files}
    return found


def load_parameters(plan: Plan) -> dict[str, Any]:
    """The request's parameters, as the plan file has them."""
    return dict(read_json(Path(plan.folder) / "plan.json")["parameters"])


def _scalar(array: np.ndarray) -> Any:
    return array.item() if array.ndim == 0 else array
