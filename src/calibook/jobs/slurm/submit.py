"""Submission: what is to be done is written down, then given to SLURM, each job once.

Killed at any point, the next call goes on from what is written and from what
SLURM knows by name. A job that nobody expects any more finds that noted when
it starts, and does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from calibook.errors import BadParameter
from calibook.jobs.settings import SlurmSettings
from calibook.jobs.slurm import commands
from calibook.jobs.slurm.commands import Refused, SchedulerSilent
from calibook.jobs.slurm.intent import jobs_for, write_intent
from calibook.jobs.slurm.retry import wanted_by_itself, wanted_by_user
from calibook.jobs.slurm.submissions import ABANDONED, Job, Submission
from calibook.jobs.slurm.view import View, look
from calibook.jobs.state import TaskStatus
from calibook.jobs.work import Work


@dataclass
class Submitted:
    """What came of a submission.

    submission: None if there was nothing to submit, as all is under way
    tasks: how many were submitted; underway: how many are in the queue since before
    left: tasks that failed and are not tried again
    refused: what SLURM said no to, a line each
    """

    submission: Submission | None
    tasks: int = 0
    underway: int = 0
    left: list[TaskStatus] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def check_work_folder(work: Work) -> None:
    """BadParameter if SLURM can't write a log into the work folder: it expands % and \\ in paths."""
    if set(str(work.folder)) & set("%\\"):
        raise BadParameter(
            f"{work.folder}: SLURM does not understand paths with % or \\; choose another --work-folder"
        )


def submit(
    work: Work,
    settings: SlurmSettings,
    report: dict[str, Any],
    *,
    lock: int | None = None,
    round: int = 0,
    again: bool = False,
) -> Submitted:
    """Submit all that is neither done nor under way, and the job that finishes. The caller holds the lock.

    report: options of `finish`
    lock: file descriptor of the work folder's lock
    round: 0 if a user asks, else which try it is
    again: also what failed by its own fault

    Raises
    ------
    SchedulerSilent: SLURM does not answer; what is under way can't be known
    Refused: SLURM takes none of the jobs
    """
    check_work_folder(work)
    view = look(work, settings.patience)
    if not view.known:
        raise _silent(view.silence)
    recover(view, settings)
    todo, found = _sorted(view, view.settle(), settings, round, again)
    if not todo and _finish_waits(view):
        return found
    try:
        submission = write_intent(view, todo, settings, report, round)
    except SchedulerSilent as error:
        raise _silent(str(error)) from error
    queued = [entry.job for old in view.submissions for job in old.arrays for entry in view.active(job)]
    if not found.underway:  # all that still runs is of no use any more
        queued = []
    _give(submission, list(dict.fromkeys(queued)), found, lock)
    found.submission, found.tasks = submission, len(todo)
    return found


def _silent(why: str) -> SchedulerSilent:
    cluster = f"; SLURM_CONF names {conf}" if (conf := os.environ.get("SLURM_CONF")) else ""
    return SchedulerSilent(
        f"SLURM does not answer ({why}){cluster}; nothing was submitted, give the command again later"
    )


def preview(work: Work, settings: SlurmSettings) -> tuple[list[Job], Submitted, str]:
    """What `submit` would submit; nothing is written. Jobs without names, the rest counted.

    Also says what is not known, as SLURM does not answer; "" if it does.
    """
    view = look(work, settings.patience)
    todo, found = _sorted(view, view.statuses(), settings, round=0, again=False)
    found.tasks = len(todo)
    try:
        longest, silence = commands.max_array_size(settings.patience), view.silence
    except SchedulerSilent as error:
        longest, silence = commands.DEFAULT_MAX_ARRAY, str(error)
    jobs = jobs_for(view, todo, settings, longest) if todo or not _finish_waits(view) else []
    return jobs, found, silence


def recover(view: View, settings: SlurmSettings) -> None:
    """Find what was submitted by one who was killed before he could note it, and free what SLURM holds."""
    held = []
    for submission in view.submissions:
        for job in submission.jobs:
            active = view.active(job)
            if not submission.job_id(job):
                known = [entry for (name, _), entry in view.entries.items() if name == job.name]
                submission.claim(job, known[0].job if known else ABANDONED)
            held += [entry.id for entry in active if entry.held]
    with suppress(SchedulerSilent):  # not ours to release, or gone meanwhile
        commands.release(held, settings.patience)


def _finish_waits(view: View) -> bool:
    """Whether the job that finishes the request is in the queue; not the one that asks, which ends now."""
    asks = os.environ.get("SLURM_JOB_ID")
    return view.newest is not None and any(entry.job != asks for entry in view.active(view.newest.finish))


def _sorted(
    view: View, statuses: Sequence[TaskStatus], settings: SlurmSettings, round: int, again: bool
) -> tuple[list[TaskStatus], Submitted]:
    """What is to be done, and the rest counted."""
    todo, found = [], Submitted(None)
    for task, status in zip(view.work.plan.tasks, statuses, strict=True):
        if status.state == "done":
            continue
        if round:
            want = wanted_by_itself(view, status, settings)
        else:
            want = wanted_by_user(status, task) or (again and status.failed)
        if view.live_place(status):
            found.underway += 1
        elif want:
            todo.append(status)
        elif status.state == "running":
            found.underway += 1
        else:
            found.left.append(status)
    return todo, found


def _give(submission: Submission, queued: list[str], found: Submitted, lock: int | None) -> None:
    """Submit the jobs of an intent: each wave of arrays after the one before, the finishing job after all.

    queued: IDs of older arrays, which belong to wave 0
    """
    all_ids, this, wave = list(queued), list(queued), 0
    before: list[str] = []
    for job in submission.arrays:
        if job.wave > wave:
            wave, before, this = job.wave, this or before, []
        try:
            job_id = _give_one(submission, job, [f"--output=logs/{job.label}-%a.log", *_after(before)], lock)
        except Refused as error:
            found.refused.append(f"{job.label}: {error}")
            submission.claim(job, ABANDONED)
        else:
            this.append(job_id)
            all_ids.append(job_id)
    if found.refused and len(found.refused) == len(submission.arrays):
        submission.claim(submission.finish, ABANDONED)
        what = "give the command again, or `calibook resume`, and ask for something else"
        raise Refused("\n".join([*found.refused, f"nothing was submitted; {what}"]))
    _give_one(submission, submission.finish, ["--output=logs/finish.log", *_after(all_ids)], lock)


def _after(ids: Sequence[str]) -> list[str]:
    """The option that lets a job wait for others to end, well or not."""
    return [f"--dependency=afterany:{':'.join(ids)}"] if ids else []


def _give_one(submission: Submission, job: Job, more: list[str], lock: int | None) -> str:
    arguments = [f"--job-name={job.name}", *job.arguments, *more]
    try:
        job_id = commands.submit(arguments, submission.script(job), submission.folder, lock)
    except SchedulerSilent as error:
        raise SchedulerSilent(
            f"{error}; whether {job.name} was taken is not known. `calibook resume` finds out and goes on"
        ) from error
    noted = submission.claim(job, job_id)
    if noted != job_id:
        raise SchedulerSilent(
            f"{job.name} was submitted as job {noted} and as {job_id}; `calibook resume` goes on"
        )
    return job_id
