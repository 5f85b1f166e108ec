"""What runs inside the jobs: an element of an array does its tasks, the last job finishes the request."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from calibook import files
from calibook.errors import CalibookError
from calibook.jobs import stopping
from calibook.jobs.lock import Locked, hold
from calibook.jobs.settings import SlurmSettings
from calibook.jobs.slurm.commands import SchedulerSilent
from calibook.jobs.slurm.retry import wanted_by_itself
from calibook.jobs.slurm.submissions import Submission, read_submission
from calibook.jobs.slurm.submit import Submitted, submit
from calibook.jobs.slurm.view import View, look
from calibook.jobs.state import TaskStatus, one_line
from calibook.jobs.task import remove_task_parts, run_task
from calibook.jobs.work import Work, open_work
from calibook.procedures.sockets import remove_left_over

# How long tasks that outlived their jobs are waited for, the lock of the work folder, a silent scheduler [s].
_ORPHAN_SECONDS, _LOCK_SECONDS, _SILENT_SECONDS = 60.0, 600.0, 1800.0
_POLL_SECONDS = 2.0


def run_element(work_folder: Path | str, number: int, label: str) -> list[TaskStatus]:
    """Do the tasks of this element of an array, one after the other; how they ended.

    Does nothing if the submission does not expect this job.
    """
    work = open_work(work_folder)
    submission = read_submission(work, number)
    job = next(job for job in submission.arrays if job.label == label)
    expected = submission.claim(job, os.environ["SLURM_ARRAY_JOB_ID"])
    if expected != os.environ["SLURM_ARRAY_JOB_ID"] or submission.cancelled:
        print(f"{job.name}: not expected any more ({expected}), nothing is done")
        return []
    ended: list[TaskStatus] = []
    for name in job.groups[int(os.environ["SLURM_ARRAY_TASK_ID"])]:
        ended.append(run_task(work.folder, name))
        if stopping.was_asked():
            break
    return ended


def run_finish(work_folder: Path | str, number: int) -> int:
    """Try again what the cluster broke; if there is nothing to try, make summary and report.

    Exit code: 0 if all went well or goes on, 1 if something failed.
    """
    work = open_work(work_folder)
    submission = read_submission(work, number)
    expected = submission.claim(submission.finish, os.environ["SLURM_JOB_ID"])
    if expected != os.environ["SLURM_JOB_ID"]:
        print(f"{submission.finish.name}: not expected any more ({expected}), nothing is done")
        return 0
    with ExitStack() as stack:
        lock = _locked(stack, work)
        view = _wait_for_orphans(work, submission.executor_settings)
        if submission.cancelled or _newer(view, submission):
            print("cancelled, or a newer submission finishes; nothing is done")
            return 0
        if view.known and _tried_again(view, submission, lock):
            return 0
        return _finish(work, submission, view)


def _locked(stack: ExitStack, work: Work) -> int:
    """Hold the lock of the work folder; another holder is waited for."""
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return stack.enter_context(hold(work.folder))
        except Locked:
            if time.monotonic() > end:
                raise
            time.sleep(_POLL_SECONDS)


def _wait_for_orphans(work: Work, settings: SlurmSettings) -> View:
    """Wait a while for tasks that run although their jobs are over: their node was lost, not they.

    A scheduler that does not answer is waited for longer, if there may be something to try again.
    """
    began = time.monotonic()
    while True:
        view = look(work, settings.patience)
        states = {status.state for status in view.statuses()}
        if states == {"done"} or (view.known and "running" not in states):
            return view
        if time.monotonic() - began > (_ORPHAN_SECONDS if view.known else _SILENT_SECONDS):
            return view
        time.sleep(_POLL_SECONDS)


def _newer(view: View, submission: Submission) -> bool:
    return view.newest is not None and view.newest.number > submission.number


def _tried_again(view: View, submission: Submission, lock: int) -> bool:
    """Submit what is to be tried again; whether anything was, so that another job will finish."""
    settings = submission.executor_settings
    statuses = [status for status in view.settle() if status.state != "done"]
    names = [status.name for status in statuses if wanted_by_itself(view, status, settings)]
    if not names or submission.round >= settings.retries:
        return False
    print(f"tried again: {', '.join(names)}")
    try:
        submitted = _submitted(view.work, settings, submission, lock)
    except CalibookError as error:
        print(f"can't try again: {error}")
        return isinstance(error, SchedulerSilent) and _newer(look(view.work, settings.patience), submission)
    for line in submitted.refused:
        print(f"refused: {line}")
    return submitted.submission is not None


def _submitted(work: Work, settings: SlurmSettings, submission: Submission, lock: int) -> Submitted:
    """Submit the next round; a scheduler that falls silent is waited for, and what it took is found."""
    end = time.monotonic() + _SILENT_SECONDS
    while True:
        try:
            return submit(work, settings, submission.report, lock=lock, round=submission.round + 1)
        except SchedulerSilent as error:
            if time.monotonic() > end:
                raise
            print(f"{error}; it is asked again", flush=True)
            time.sleep(settings.patience)


def _finish(work: Work, submission: Submission, view: View) -> int:
    from calibook.jobs.finish import finish

    for task, status in zip(work.plan.tasks, view.settle(), strict=True):
        if status.state != "running":
            remove_task_parts(work, task, all_dead=True)
    # A submission may have been killed while it wrote one of its scripts.
    for folder in (work.folder, *(work.folder / "slurm").glob("*/")):
        files.remove_parts_in(folder, all_dead=True)
    remove_left_over()
    began = time.monotonic()
    finished = finish(work, **submission.report)
    content: dict[str, Any] = {
        "status": finished.status,
        "problems": list(finished.problems),
        "seconds": round(time.monotonic() - began, 1),
    }
    files.write_json(submission.folder / "finished.json", content)
    for problem in finished.problems:
        print(one_line(problem))
    failed = any(status.state != "done" for status in view.statuses())
    return 1 if failed or finished.problems or work.plan.problems else 0
