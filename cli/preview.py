"""What would be submitted to SLURM, as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from calibook.cli.show import console, show_pairs, show_table, some

if TYPE_CHECKING:
    from calibook.jobs.settings import SlurmSettings
    from calibook.jobs.slurm.submissions import Job
    from calibook.jobs.work import Work

_CLUSTER = "as the cluster gives"


def show_submission(work: Work, settings: SlurmSettings) -> None:
    """Arrays and what their jobs ask for, and what is not submitted. Nothing is written."""
    from calibook.jobs.slurm.submit import preview

    jobs, found, silence = preview(work, settings)
    if silence:
        console().print(
            Text(f"SLURM does not answer ({silence}); how long its arrays may be is guessed", style="red")
        )
    console().print("SLURM would get:" if jobs else "SLURM would get nothing more.")
    if jobs:
        names = ("job", "tasks", "jobs", "tasks per job", "at a time", "memory", "time", "CPUs")
        show_table("", names, (list(_row(job, settings)) for job in jobs))
    done = len(work.plan.tasks) - found.tasks - found.underway - len(found.left)
    asked = ("partition", "account", "reservation", "qos", "constraint", "template")
    show_pairs(
        {
            **{name: getattr(settings, name) for name in asked},
            "tried again": f"at most {settings.retries} times, if it was not the task's own fault",
            "done already": str(done) if done else "",
            "in the queue": str(found.underway) if found.underway else "",
            "not tried again": some(f"{status.name} ({status.state})" for status in found.left),
        }
    )


def _row(job: Job, settings: SlurmSettings) -> Iterator[str]:
    yield job.label
    yield str(sum(map(len, job.groups))) if job.groups else "summary, report"
    yield str(len(job.groups) or 1)
    yield str(max(map(len, job.groups), default=""))
    yield _at_once(job)
    yield f"{job.memory_mb} MB" if job.memory_mb else _CLUSTER
    yield f"{job.minutes} min" if job.minutes else _CLUSTER
    yield str(settings.cpus)


def _at_once(job: Job) -> str:
    """How many of its elements run at a time, and whether they wait for the arrays before."""
    limit = str(job.at_once) if job.at_once < len(job.groups) else "all"
    return f"{limit}, after those before" if job.wave else limit
