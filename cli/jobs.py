"""Commands about requests and their tasks, and what all procedure commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibook.cli.slurm import chosen, executor_options, refuse_queued, slurm_options, submit_request

if TYPE_CHECKING:
    from calibook.jobs.finish import Finished
    from calibook.jobs.settings import SlurmSettings
    from calibook.jobs.warm import WarmParent
    from calibook.jobs.work import Work
    from calibook.procedures.notebook import Procedure

_WORK = click.argument("work", type=click.Path(path_type=Path))
_WORKERS = click.Option(
    ["--workers"], type=click.IntRange(min=1), help="Tasks at a time. Default: as CPUs and memory allow."
)
_ENGINE = click.Option(
    ["--engine"],
    type=click.Choice(["typst", "latex"]),
    default="typst",
    show_default=True,
    help="What makes the PDF; latex needs lualatex installed.",
)
_OVERWRITE = click.Option(
    ["--overwrite"], is_flag=True, help="Replace outputs that another request has made."
)
_REPORT = click.Option(["--report/--no-report"], default=True, help="Build the report.")
_APPENDIX = click.Option(
    ["--appendix"],
    type=click.IntRange(min=0),
    default=16,
    show_default=True,
    help="Task notebooks shown in the report at most; those that failed come first.",
)

request_options: list[click.Option] = [
    click.Option(
        ["--dry-run"],
        is_flag=True,
        help="Show what would be done or submitted, and write nothing.",
    ),
    _WORKERS,
    click.Option(
        ["--work-folder"],
        type=click.Path(path_type=Path),
        help="Folder for notebooks, logs and report. "
        "Default: OUT_FOLDER/calibook/<detector>-<procedure>-<id>.",
    ),
    _ENGINE,
    _OVERWRITE,
    _REPORT,
    _APPENDIX,
    *executor_options,
    *slurm_options,
]
"""Options of every procedure command; `run_request` takes their values by these names."""


def run_request(
    procedure: Procedure,
    values: Mapping[str, Any],
    *,
    dry_run: bool = False,
    workers: int | None = None,
    work_folder: Path | None = None,
    engine: str = "typst",
    overwrite: bool = False,
    report: bool = True,
    appendix: int = 16,
    **where: Any,
) -> None:
    """Plan, show the plan, run it, finish, say where everything is; or submit it all.

    where: options of `cli.slurm`

    Exits with code 1 if a task or the report failed; the verdict's word is printed, no more.
    """
    from calibook.jobs.warm import WarmParent

    _check_engine(engine, report)
    settings = chosen(workers=workers, **where)
    with WarmParent(procedure.notebooks) as warm:
        if settings is None and not dry_run:
            warm.begin()  # what tasks need is loaded while the request is planned
        from calibook.cli.show import console, show_plan
        from calibook.jobs.lock import hold
        from calibook.jobs.request import make_request

        with _threads_of_a_job(settings):
            request = make_request(procedure, values, work_folder, overwrite=overwrite)
        show_plan(request.work, continues=request.continues)
        if dry_run:
            if settings is not None:
                from calibook.cli.preview import show_submission

                show_submission(request.work, settings)
            console().print("Dry run: nothing was written.")
            return
        _check_executor(request.work, on_slurm=settings is not None)
        how = {"engine": engine, "report": report, "appendix": appendix}
        with hold(request.folder) as lock:
            work = request.write()
            if settings is not None:
                submit_request(work, settings, lock, how)
            else:
                _run_and_finish(work, workers, warm, how)


@contextmanager
def _threads_of_a_job(settings: SlurmSettings | None) -> Iterator[None]:
    """Plans say what a task needs with as many threads as it has on the cluster, not here."""
    before = os.environ.get("CALIBOOK_THREADS")
    if settings is not None:
        os.environ["CALIBOOK_THREADS"] = str(settings.cpus)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("CALIBOOK_THREADS", None)
        else:
            os.environ["CALIBOOK_THREADS"] = before


def _run_and_finish(work: Work, workers: int | None, warm: WarmParent, how: Mapping[str, Any]) -> None:
    """how: options of `finish`"""
    from calibook.cli.show import console, quoted, show_outcome
    from calibook.jobs.finish import finish
    from calibook.jobs.local import run_local
    from calibook.jobs.progress import make_progress

    try:
        statuses = run_local(work, workers, make_progress(console()), warm)
        finished: Finished = finish(work, **how, warm=warm)
    except KeyboardInterrupt:
        click.echo(
            f"\nStopped. What is done is kept; to go on: calibook resume {quoted(work.folder)}", err=True
        )
        sys.exit(130)
    show_outcome(work, statuses, finished)
    failed = any(status.state != "done" for status in statuses)
    if failed or work.plan.problems or finished.problems:
        sys.exit(1)


def _check_engine(engine: str, report: bool) -> None:
    """LaTeX must be there before hours of work end without a report."""
    if report and engine == "latex":
        from calibook.reports.latex import check_tools

        check_tools()


def _check_executor(work: Work, *, on_slurm: bool) -> None:
    """What speaks against this executor, before anything is written."""
    if on_slurm:
        from calibook.jobs.slurm.submit import check_work_folder

        check_work_folder(work)
    else:
        refuse_queued(work)


@click.command()
@_WORK
@click.option("--again", is_flag=True, help="SLURM: also what failed by its own fault and would fail again.")
def resume(
    work: Path,
    workers: int | None,
    engine: str,
    overwrite: bool,
    report: bool,
    appendix: int,
    again: bool,
    **where: Any,
) -> None:
    """Do what is missing in the work folder WORK, then build its report anew.

    What was submitted to SLURM goes on there, unless --executor local is given.
    """
    from calibook.jobs.checks import check_folders, check_space, refuse_outputs_of_others
    from calibook.jobs.lock import hold
    from calibook.jobs.warm import WarmParent
    from calibook.jobs.work import open_work

    _check_engine(engine, report)
    opened = open_work(work)
    check_folders(opened.plan)
    check_space(opened)
    if not overwrite:
        refuse_outputs_of_others(opened)
    settings = chosen("slurm" if (opened.folder / "slurm").is_dir() else "", workers=workers, **where)
    _check_executor(opened, on_slurm=settings is not None)
    how = {"engine": engine, "report": report, "appendix": appendix}
    with hold(opened.folder) as lock, WarmParent(opened.notebooks) as warm:
        if settings is not None:
            submit_request(opened, settings, lock, how, again)
        else:
            _run_and_finish(opened, workers, warm, how)


resume.params += [_WORKERS, _ENGINE, _OVERWRITE, _REPORT, _APPENDIX, *executor_options, *slurm_options]


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
def reproduce(record: Path) -> None:
    """Make an output again from its RECORD, and say: identical, or what differs."""
    from calibook.constants import load_pinned
    from calibook.jobs.reproduce import reproduce as make_again

    found = make_again(record, load_pinned)
    for difference in found.differences:
        click.echo(f"differs: {difference}")
    for note in found.notes:
        click.echo(f"note: {note}")
    if not found.identical:
        click.echo(f"{found.output} was not made again.")
        sys.exit(1)
    click.echo(f"identical: {found.output}{', put back in its place' if found.placed else ''}")


@click.command(hidden=True)
@_WORK
@click.argument("name")
def task(work: Path, name: str) -> None:
    """Do the one task NAME of the work folder WORK; what schedulers and `resume` call."""
    from calibook.jobs.task import run_task

    ended = run_task(work, name)
    click.echo(f"{ended.name}: {ended.state} {ended.cause}".rstrip())
    if ended.state != "done":
        sys.exit(1)
