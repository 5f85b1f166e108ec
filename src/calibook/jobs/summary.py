"""The summary notebook of a request: run once, after its tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from calibook.errors import CalibookError
from calibook.files import write_text
from calibook.jobs.environment import task_environment
from calibook.jobs.state import one_line
from calibook.jobs.stopping import stoppable
from calibook.jobs.task import notebook_values
from calibook.jobs.work import Work, open_work

if TYPE_CHECKING:
    from calibook.jobs.warm import WarmParent
    from calibook.procedures.forked import WaitingKernel

_LOG, _PROBLEM = "log.txt", "problem.txt"


def executed_summary(work: Work) -> Path:
    """The executed summary notebook."""
    return work.folder / "summary" / work.summary_notebook.name


def summarise(work: Work, warm: WarmParent | None = None) -> str:
    """Run the summary notebook; what went wrong, in one line, empty if nothing did.

    warm: forks the process that runs it, if it can; else it is run from here
    """
    executed = executed_summary(work)
    executed.parent.mkdir(exist_ok=True)
    for path in (executed, executed.with_name(_PROBLEM)):
        path.unlink(missing_ok=True)  # of an earlier finish
    process = warm.start(work, None, executed.with_name(_LOG)) if warm else None
    if process is None:
        done = run_summary(work.folder)
    else:
        try:
            with stoppable():  # else a runner that is asked to end would leave it to go on
                done = process.wait() == 0
        finally:
            process.terminate()
    return "" if done else _problem(executed)


def run_summary(folder: Path, kernel: WaitingKernel | None = None) -> bool:
    """Run the summary notebook of a work folder; False if it failed, then `problem.txt` says why.

    kernel: process for the notebook, instead of a new one
    """
    from calibook.procedures.execute import execute

    work = open_work(folder)
    executed = executed_summary(work)
    os.environ.update(task_environment())
    try:
        values = notebook_values(work.summary_notebook, work)
        log = executed.with_name(_LOG)
        with stoppable():
            execute(work.summary_notebook, values, executed, log, work.cwd, kernel=kernel)
    except CalibookError as error:
        write_text(executed.with_name(_PROBLEM), one_line(str(error)))
        return False
    return True


def _problem(executed: Path) -> str:
    try:
        why = executed.with_name(_PROBLEM).read_text(encoding="utf-8")
    except OSError:  # its process was killed, or ended before it could say anything
        why = f"its process ended; see {executed.with_name(_LOG)}"
    return f"summary: {why}"
