"""What is checked before a request writes anything."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from calibook.errors import BadInput, BadParameter
from calibook.jobs.record import made_by, size_of
from calibook.jobs.state import read_attempts
from calibook.jobs.work import Work
from calibook.procedures.tasks import Plan, all_outputs

# Bytes that file systems allow in a name, less what we add to it.
_LONGEST_NAME = 200
# Executed notebooks, records and the report, per task and in all [MB].
_SPACE_TASK_MB, _SPACE_REPORT_MB = 2, 50


def check_plan(plan: Plan) -> None:
    """Task names are file names; outputs are absolute, each made once, and no input is touched.

    Raises BadParameter.
    """
    if not plan.tasks:
        reasons = "".join(f"\n  {path}: {why}" for path, why in plan.problems.items())
        raise BadParameter(f"there is nothing to do: the plan has no task{reasons}")
    for task in plan.tasks:
        if not _is_file_name(task.name):
            raise BadParameter(f"the plan has a task {task.name!r}: not a name for a folder")
    _check_outputs(plan)
    unreadable = unreadable_inputs(plan)
    if len(unreadable) == len({path for task in plan.tasks for path in task.inputs}) > 0:
        path, why = next(iter(unreadable.items()))
        raise BadInput(path, f"{why}; no input of the request can be read")


def _check_outputs(plan: Plan) -> None:
    """Paths are handled as text, and links of their folders followed once: there may be thousands."""
    folder_of = cache(os.path.realpath)

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        place = os.path.join(folder_of(folder), name)  # noqa: PTH118
        return os.path.realpath(place) if os.path.islink(place) else place  # noqa: PTH114

    inputs = {real(path) for task in plan.tasks for path in task.inputs}
    folders = {os.path.dirname(path) for path in inputs}  # noqa: PTH120
    made: dict[str, str] = {}
    into = {os.path.realpath(plan.folder)}
    for task in plan.tasks:
        for output in task.outputs:
            if not os.path.isabs(output):  # noqa: PTH117
                raise BadParameter(f"task {task.name} has an output that is not an absolute path: {output}")
            path = real(output)
            if path in made:
                raise BadParameter(f"two tasks, {made[path]} and {task.name}, would write {output}")
            if path in inputs:
                raise BadParameter(f"task {task.name} would overwrite the input {output}")
            made[path] = task.name
            into.add(os.path.dirname(path))  # noqa: PTH120
    for folder in into:
        _refuse_inside(Path(folder), folders)


def _refuse_inside(folder: Path, inputs: set[str]) -> None:
    for parent in (folder, *folder.parents):
        if str(parent) in inputs:
            below = f", in {folder}" if folder != parent else ""
            raise BadParameter(f"files would be written into {parent}, where the input files are{below}")


def unreadable_inputs(plan: Plan) -> dict[str, str]:
    """Inputs that can't be opened, {path: why}. Their tasks will fail, the others are done."""
    found: dict[str, str] = {}
    for path in dict.fromkeys(path for task in plan.tasks for path in task.inputs):
        if not os.path.isfile(path):  # noqa: PTH113 - thousands of them
            found[path] = "there is no such file"
        elif not os.access(path, os.R_OK):
            found[path] = "may not be read (permission denied)"
    return found


def check_folders(plan: Plan) -> None:
    """The work folder and the folders of all outputs can be written. Raises BadParameter."""
    folders = {os.path.dirname(path) for path in all_outputs(plan.tasks)}  # noqa: PTH120
    for folder in map(Path, sorted({str(plan.folder), *folders})):
        existing = _existing(folder)
        if not existing.is_dir():
            raise BadParameter(f"{folder} can't be made: {existing} is a file")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise BadParameter(f"{folder} can't be written: permission denied for {existing}")


def check_space(work: Work) -> None:
    """The disk has room for what is still missing. Raises BadParameter."""
    outputs = all_outputs(work.plan.tasks)
    there = sum(max(0, size_of(path)) for path in outputs) >> 20
    need = max(work.plan.space_mb - there, 0)
    extra = _SPACE_REPORT_MB + _SPACE_TASK_MB * len(work.plan.tasks)
    where = _existing(Path(outputs[0]).parent if outputs else work.folder)
    free = shutil.disk_usage(where).free >> 20
    if need + extra > free:
        raise BadParameter(
            f"{where} has {free} MB free, but the outputs need {need} MB and the work folder about "
            f"{extra} MB; make room or choose another --out-folder"
        )


def refuse_outputs_of_others(work: Work) -> None:
    """No output is there already that this request did not make. Raises BadParameter.

    A file without a record counts as ours if this request has begun its task:
    then the task was killed between the file and its record.
    """
    for task in work.plan.tasks:
        for output in task.outputs:
            if not os.path.exists(output):  # noqa: PTH110 - thousands of them
                continue
            maker = made_by(output)
            begun = any(True for _ in read_attempts(work.plan.task_folder(task)))
            if maker == work.key(task) or (not maker and begun):
                continue
            who = "another request (its record says so)" if maker else "somebody else (it has no record)"
            raise BadParameter(
                f"{output} is there already, made by {who}; give --overwrite to replace it, "
                "or choose another --out-folder"
            )


def _is_file_name(name: str) -> bool:
    return (
        0 < len(name.encode()) <= _LONGEST_NAME and name not in (".", "..") and not set(name) & set("/\0\n\r")
    )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
