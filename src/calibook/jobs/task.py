"""One task, from its start to its record. This machine and SLURM run this same code."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibook.errors import BadInput, CalibookError
from calibook.files import remove_parts, remove_parts_in
from calibook.jobs.checks import unreadable_inputs
from calibook.jobs.environment import given_by_scheduler, task_environment
from calibook.jobs.hashes import HashedFile, TaskHashes, refuse_changed
from calibook.jobs.lock import alone
from calibook.jobs.pulse import Pulse
from calibook.jobs.record import outputs_match, record_path, write_records
from calibook.jobs.state import TaskStatus, begin_attempt, end_attempt, read_attempts, task_status
from calibook.jobs.stopping import stoppable
from calibook.jobs.work import Work, open_work
from calibook.procedures.failures import CellFailed, Execution, KernelDied
from calibook.procedures.notebook import read_procedure
from calibook.procedures.tasks import Plan, Task

if TYPE_CHECKING:
    from calibook.procedures.forked import WaitingKernel


def run_task(work_folder: Path | str, name: str, kernel: WaitingKernel | None = None) -> TaskStatus:
    """Do one task of a work folder, unless it is done. Says how it ended, raises only for no such task.

    kernel: process for the notebook, instead of a new one

    The task leaves in `tasks/<name>`: the executed notebook, the log (appended
    across attempts), its record, and whatever the notebook puts there.
    """
    work = open_work(work_folder)
    task = work.plan.select(name)[0]
    status = task_status(work, task)
    if status.state == "done":
        return status
    folder = work.plan.task_folder(task)
    attempt = begin_attempt(folder, **given_by_scheduler())
    _log(work, task, f"=== {attempt.started} attempt {attempt.number} on {attempt.host}, pid {attempt.pid}")
    started = time.monotonic()
    pulse = Pulse(folder, attempt)
    ended: dict[str, Any]
    try:
        with stoppable(), pulse:
            execution, overtaken_by = _attempt(work, task, pulse, kernel)
        ended = {"state": "done", "seconds": execution.seconds, "peak_memory_mb": execution.peak_memory_mb}
        if overtaken_by:
            ended |= {"state": "overtaken", "cause": f"attempt {overtaken_by} was complete first"}
    except (Exception, KeyboardInterrupt) as error:
        ended = {"seconds": time.monotonic() - started, **_failure(error)}
        if not isinstance(error, KeyboardInterrupt):  # which tells only what we waited for
            _log(work, task, _traceback(error))
    end_attempt(folder, pulse.attempt, **ended)
    _log(work, task, f"=== {ended['state']} after {ended['seconds']:.1f} s {ended.get('cause', '')}".rstrip())
    return task_status(work, task)


def _attempt(work: Work, task: Task, pulse: Pulse, kernel: WaitingKernel | None) -> tuple[Execution, int]:
    """Run the notebook, see that the outputs are there, write the records.

    Also says which attempt was complete first, 0 if it is this one.
    """
    for path, why in unreadable_inputs(Plan([task])).items():
        raise BadInput(path, why)
    from calibook.procedures.execute import execute

    os.environ.update(task_environment())
    remove_task_parts(work, task)
    with TaskHashes(task.inputs, task.outputs) as hashes:

        def on_cell(done: int, cells: int) -> None:
            pulse.on_cell(done, cells)
            hashes.look()

        execution = execute(
            work.notebook,
            notebook_values(work.notebook, work, task.name),
            work.executed(task),
            work.log(task),
            work.cwd,
            on_cell,
            kernel,
        )
        inputs = hashes.inputs()
        refuse_changed(inputs)
        _require_outputs(task)
        winner = _write_records(work, task, inputs, hashes, execution, pulse.attempt.number)
    remove_task_parts(work, task)  # of a kernel that outlived its killed task for a moment
    return execution, winner


def _write_records(
    work: Work,
    task: Task,
    inputs: list[HashedFile],
    hashes: TaskHashes,
    execution: Execution,
    number: int,
) -> int:
    """Make this attempt the one that counts, unless another was complete first: then say which.

    A node that was lost may come back, so that two attempts end at the same time.
    """
    folder = work.plan.task_folder(task)
    with alone(folder / "records.lock"):
        winner = outputs_match(work, task)
        if not winner:
            took = execution.seconds, execution.peak_memory_mb
            write_records(work, task, inputs, hashes.outputs(), *took, read_attempts(folder), number)
        return winner


def notebook_values(notebook: Path, work: Work, task: str = "") -> dict[str, Any]:
    """Those of the request's parameters, `plan_file` and `task` that a notebook declares."""
    values = {**work.parameters, "plan_file": str(work.plan_file), "task": task}
    declared = read_procedure(notebook).parameters
    return {name: value for name, value in values.items() if name in declared}


def _require_outputs(task: Task) -> None:
    missing = [output for output in task.outputs if not Path(output).is_file()]
    if missing:
        raise CalibookError(f"the notebook ended well but left no {', '.join(missing)}")


def remove_task_parts(work: Work, task: Task, *, all_dead: bool = False) -> None:
    """What killed attempts left beside the outputs and in the task's folder.

    all_dead: the caller knows that nobody is at the task, on no machine
    """
    for output in task.outputs:
        remove_parts(Path(output), all_dead=all_dead)
        remove_parts(record_path(output), all_dead=all_dead)
    folder = work.plan.task_folder(task)
    for place in (folder, *folder.glob("attempts/*")):
        remove_parts_in(place, all_dead=all_dead)


def _failure(error: BaseException) -> dict[str, Any]:
    """Fields of the attempt that tell of an error."""
    found: dict[str, Any]
    if isinstance(error, CellFailed):
        # Errors of calibook are sentences for users; of others the name is half the story.
        ours = error.cause not in ("bug", "out of memory", "killed")
        found = {
            "state": error.cause,
            "cause": error.evalue if ours else f"{error.ename}: {error.evalue}",
            "line": error.line,
            "source_line": error.source_line,
        }
    elif isinstance(error, CalibookError):
        found = {"state": error.cause, "cause": str(error)}
    elif isinstance(error, KeyboardInterrupt):
        found = {"state": "killed", "cause": str(error) or "stopped by Ctrl-C"}
    elif isinstance(error, MemoryError):
        found = {"state": "out of memory", "cause": repr(error)}
    else:
        found = {"state": "bug", "cause": f"{type(error).__name__}: {error}"}
    if isinstance(error, CellFailed | KernelDied):
        found["cell"] = error.cell
        if error.execution is not None:
            found["peak_memory_mb"] = error.execution.peak_memory_mb
            found["cells_done"] = error.execution.cells
    return found


def _traceback(error: BaseException) -> str:
    """What the log shows of an error: the notebook's own traceback, if a cell failed."""
    if isinstance(error, CellFailed):
        return error.traceback
    return "".join(traceback.format_exception(error))


def _log(work: Work, task: Task, text: str) -> None:
    with open(work.log(task), "a", encoding="utf-8", errors="replace") as log:
        log.write(text.rstrip() + "\n")
