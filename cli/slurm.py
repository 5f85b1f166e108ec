"""Requests on a SLURM cluster: options, submission, cancel, and what runs inside the jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibook.errors import BadParameter

if TYPE_CHECKING:
    from calibook.jobs.settings import SlurmSettings
    from calibook.jobs.work import Work

_WORK = click.argument("work", type=click.Path(path_type=Path))
_COUNT = click.IntRange(min=1)

executor_options: list[click.Option] = [
    click.Option(
        ["--executor"],
        type=click.Choice(["local", "slurm"]),
        help="Where the tasks run. Default: as the settings say, else local.",
    ),
    click.Option(["--slurm"], is_flag=True, help="The same as --executor slurm."),
]
slurm_options: list[click.Option] = [
    click.Option(["--partition"], help="SLURM: partition (queue)."),
    click.Option(
        ["--time"], metavar="TIME", help="SLURM: longest time of a job, like 90s, 30m, 2h, 1:30:00."
    ),
    click.Option(["--mem"], metavar="SIZE", help="SLURM: memory of a job, like 500M, 16G."),
    click.Option(["--max-jobs"], type=_COUNT, help="SLURM: jobs that run at a time."),
    click.Option(["--reservation"], help="SLURM: reservation."),
    click.Option(["--account"], help="SLURM: account to charge."),
    click.Option(
        ["--files-per-job"], type=_COUNT, help="SLURM: tasks that one job does, one after the other."
    ),
]
"""Options of every command that runs tasks; `chosen` takes their values by these names."""


def chosen(
    default: str = "",
    *,
    executor: str | None = None,
    slurm: bool = False,
    workers: int | None = None,
    **given: Any,
) -> SlurmSettings | None:
    """What to ask SLURM for; None if the tasks run on this machine.

    default: the executor if neither the command line nor the settings name one
    Raises BadParameter for values or options that do not fit.
    """
    from calibook.jobs.settings import load_settings

    settings = load_settings()
    if slurm and executor == "local":
        raise BadParameter("--slurm and --executor local contradict each other")
    where = "slurm" if slurm else executor or default or settings.executor
    options = {name: value for name, value in given.items() if value is not None}
    if where == "local":
        if options:
            name = "--" + next(iter(options)).replace("_", "-")
            raise BadParameter(f"{name} is for SLURM, but the tasks run on this machine; add --slurm")
        return None
    if workers is not None:
        raise BadParameter("--workers is for this machine; with SLURM it is --max-jobs")
    from calibook.jobs.slurm.commands import require_slurm

    found = settings.slurm.with_given({_READ[k][0]: _read(k, value) for k, value in options.items()})
    require_slurm()
    return found


def _read(option: str, value: Any) -> Any:
    try:
        return _READ[option][1](value)
    except BadParameter as error:
        raise BadParameter(f"--{option.replace('_', '-')}: {error}") from None


def _minutes(text: str) -> int:
    from calibook.jobs.amounts import minutes

    return minutes(text)


def _megabytes(text: str) -> int:
    from calibook.jobs.amounts import megabytes

    return megabytes(text)


def _name(text: str) -> str:
    from calibook.jobs.amounts import scheduler_name

    return scheduler_name(text)


# Name of an option: name of the setting, and how the value is read.
_READ: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "partition": ("partition", _name),
    "time": ("minutes", _minutes),
    "mem": ("memory_mb", _megabytes),
    "max_jobs": ("max_jobs", int),
    "reservation": ("reservation", _name),
    "account": ("account", _name),
    "files_per_job": ("files_per_job", int),
}


def submit_request(
    work: Work, settings: SlurmSettings, lock: int, report: dict[str, Any], again: bool = False
) -> None:
    """Submit what is missing, and say what was submitted. The caller holds the lock."""
    from calibook.cli.show import console, quoted
    from calibook.jobs.slurm.submit import submit

    found = submit(work, settings, report, lock=lock, again=again)
    out = console()
    for status in found.left:
        out.print(
            f"{status.name}: {status.state}: {status.cause}; not tried again (--again does it all the same)"
        )
    if found.underway:
        out.print(f"{found.underway} tasks are in the queue since before")
    if found.submission is None:
        out.print("Nothing more to submit: the job that finishes is in the queue too.")
    else:
        for job in found.submission.jobs:
            what = f"{sum(map(len, job.groups))} tasks" if job.groups else "summary and report"
            out.print(f"job {found.submission.job_id(job)}: {what} ({job.name})")
    for line in found.refused:
        click.echo(f"refused: {line}", err=True)
    out.print(f"How far it is: calibook status --watch {quoted(work.folder)}")
    if found.refused:
        sys.exit(1)


def refuse_queued(work: Work) -> None:
    """BadParameter if tasks of the request are in SLURM's queue: two runners would do them twice."""
    if not (work.folder / "slurm").is_dir():
        return
    from calibook.cli.show import quoted
    from calibook.jobs.settings import load_settings
    from calibook.jobs.slurm.view import look

    view = look(work, load_settings().slurm.patience)
    if not view.known:
        raise BadParameter(
            f"{work.folder} was submitted to SLURM, and what is queued is not known: {view.silence}"
        )
    if any(view.active(job) for submission in view.submissions for job in submission.jobs):
        raise BadParameter(
            f"{work.folder} has jobs in SLURM's queue; first end them: calibook cancel {quoted(work.folder)}"
        )


@click.command()
@_WORK
def cancel(work: Path) -> None:
    """End the jobs of the work folder WORK; what is done stays, and `resume` goes on."""
    from calibook.jobs.settings import load_settings
    from calibook.jobs.slurm.cancel import cancel as end_jobs
    from calibook.jobs.work import open_work

    ids = end_jobs(open_work(work), load_settings().slurm.patience)
    click.echo(f"cancelled: job {', '.join(ids)}" if ids else "no jobs of this request wait or run")


@click.command(hidden=True)
@_WORK
@click.argument("submission", type=int)
@click.argument("label")
def element(work: Path, submission: int, label: str) -> None:
    """Do the tasks of this element of a job array; what SLURM calls."""
    from calibook.jobs.slurm.inside import run_element

    ended = run_element(work, submission, label)
    for status in ended:
        click.echo(f"{status.name}: {status.state} {status.cause}".rstrip())
    if any(status.state != "done" for status in ended):
        sys.exit(1)


@click.command(hidden=True)
@_WORK
@click.argument("submission", type=int)
def finish(work: Path, submission: int) -> None:
    """Try again, or make summary and report; what SLURM calls when the tasks have ended."""
    from calibook.jobs.slurm.inside import run_finish

    sys.exit(run_finish(work, submission))
