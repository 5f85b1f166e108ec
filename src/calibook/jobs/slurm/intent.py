"""What is to be submitted: arrays of tasks that ask for the same, and the job that finishes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from calibook import files
from calibook.jobs.settings import SlurmSettings
from calibook.jobs.slurm import commands
from calibook.jobs.slurm.retry import Need, first_need, next_need
from calibook.jobs.slurm.script import job_script
from calibook.jobs.slurm.submissions import (
    FINISH,
    Job,
    Submission,
    claim_folder,
    job_name,
    new_token,
)
from calibook.jobs.slurm.view import View
from calibook.jobs.state import TaskStatus
from calibook.jobs.work import Work


def write_intent(
    view: View, todo: list[TaskStatus], settings: SlurmSettings, report: dict[str, Any], round: int
) -> Submission:
    """Write down what is about to be submitted, with the scripts; nothing is submitted yet.

    todo: the tasks; report: options of `finish`; round: which try it is
    """
    longest = commands.max_array_size(settings.patience) if todo else 1
    folder = claim_folder(view.work)
    number, token = int(folder.name), new_token()
    jobs = [
        replace(job, name=job_name(view.work, number, job.label, token))
        for job in jobs_for(view, todo, settings, longest)
    ]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    submission = Submission(folder, number, round, created, jobs, asdict(settings), report)
    for job in jobs:
        command = _command(view.work, submission, job)
        files.write_text(submission.script(job), job_script(command, settings))
    submission.write()  # last: from here on the jobs are expected
    return submission


def jobs_for(view: View, todo: list[TaskStatus], settings: SlurmSettings, longest: int) -> list[Job]:
    """The jobs that tasks need, without names: arrays, and the one that finishes.

    longest: how many elements the cluster allows in an array
    """
    arrays: list[tuple[Need, list[list[str]]]] = []
    per_job = settings.files_per_job
    for need, names in _needs(view, todo, settings).items():
        elements = [names[i : i + per_job] for i in range(0, len(names), per_job)]
        arrays += [(need, elements[i : i + longest]) for i in range(0, len(elements), longest)]
    sizes = [min(len(elements), settings.max_jobs or len(elements)) for _, elements in arrays]
    jobs = []
    for i, wave in enumerate(waves(sizes, settings.max_jobs, _running_at_once(view))):
        need, elements = arrays[i]
        arguments = _arguments(need, settings, len(elements), sizes[i])
        asked = (arguments, elements, need.memory_mb, need.minutes)
        jobs.append(Job(f"tasks{i + 1}", "", *asked, at_once=sizes[i], wave=wave))
    last = Need(settings.summary_memory_mb, settings.summary_minutes)
    return [*jobs, Job(FINISH, "", _arguments(last, settings), [], last.memory_mb, last.minutes)]


def waves(sizes: Sequence[int], most: int, running: int) -> list[int]:
    """The wave in which each array begins, so that never more than `most` elements run (0: any number).

    SLURM limits the elements of each array, not those of several together: so
    arrays that are too many together wait until all of the wave before have ended.

    sizes: how many elements of each array run at a time, at most `most`
    running: how many elements of older arrays may run in wave 0
    """
    wave, found = 0, []
    for size in sizes:
        if most and running + size > most:
            wave, running = wave + 1, 0
        running += size
        found.append(wave)
    return found


def _running_at_once(view: View) -> int:
    """How many elements of what is in the queue may run at the same time, at most."""
    found = 0
    for submission in view.submissions:
        for job in submission.arrays:
            active = len(view.active(job))
            found += min(active, job.at_once or active)
    return found


def _command(work: Work, submission: Submission, job: Job) -> list[str]:
    what = ["finish"] if job.label == FINISH else ["element"]
    where = [str(work.folder), str(submission.number)] + ([] if job.label == FINISH else [job.label])
    return [sys.executable, "-P", "-m", "calibook", *what, "--", *where]


def _arguments(need: Need, settings: SlurmSettings, elements: int = 0, at_once: int = 0) -> list[str]:
    """Options of sbatch, without name, log and dependency."""
    given = {
        "partition": settings.partition,
        "account": settings.account,
        "reservation": settings.reservation,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "mem": f"{need.memory_mb}M" if need.memory_mb else "",
        "time": str(need.minutes) if need.minutes else "",
        "cpus-per-task": str(settings.cpus),
        "export": "ALL",
        "open-mode": "append",
    }
    found = [f"--{name}={value}" for name, value in given.items() if value]
    if not elements:
        return [*found, "--requeue"]  # it may be begun again at any point
    # calibook tries tasks again by itself: it looks at the cause and counts.
    limit = f"%{at_once}" if at_once < elements else ""
    return [*found, "--no-requeue", f"--array=0-{elements - 1}{limit}"]


def _needs(view: View, todo: list[TaskStatus], settings: SlurmSettings) -> dict[Need, list[str]]:
    """Tasks by what their jobs ask for."""
    tasks = {task.name: task for task in view.work.plan.tasks}
    first = first_need([tasks[status.name] for status in todo], settings)
    found: dict[Need, list[str]] = {}
    for status in todo:
        need = first
        if status.tries or view.places.get(status.name):
            # One that had the most already: a user who asks again gets the same again.
            need = next_need(view, status, first, settings) or _most(view, status, first)
        found.setdefault(need, []).append(status.name)
    return found


def _most(view: View, status: TaskStatus, first: Need) -> Need:
    places = view.places.get(status.name, [])
    return Need(places[-1].job.memory_mb, places[-1].job.minutes) if places else first
