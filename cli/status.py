"""`calibook status`: how far a request is, why tasks failed, what will be done about it."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from calibook.jobs.slurm.view import View
    from calibook.jobs.state import TaskStatus

_WATCH_SECONDS = 5.0


@click.command()
@click.argument("work", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--watch",
    is_flag=True,
    help="Show in short what runs or failed, every few seconds until nothing waits or runs.",
)
def status(work: Path, as_json: bool, watch: bool) -> None:
    """Show what each task of the work folder WORK did, why it failed, what will be done about it."""
    from calibook.jobs.work import open_work

    opened = open_work(work)
    while True:
        view, statuses = _look(opened)
        _show(view, statuses, as_json, watch)
        if not watch or not _goes_on(view, statuses):
            break
        try:
            time.sleep(_WATCH_SECONDS)
        except KeyboardInterrupt:
            sys.exit(130)
    if opened.plan.problems or any(found.failed for found in statuses):
        sys.exit(1)


def _look(work: Any) -> tuple[View, list[TaskStatus]]:
    """One look at records and queue, with the word on what will be done."""
    from calibook.jobs.settings import load_settings
    from calibook.jobs.slurm.view import View, look

    if not (work.folder / "slurm").is_dir():
        view = View(work, [], [])
        return view, view.statuses()
    from calibook.jobs.slurm.retry import action

    view = look(work, load_settings().slurm.patience)
    tasks = zip(work.plan.tasks, view.statuses(), strict=True)
    return view, [replace(found, action=action(view, found, task)) for task, found in tasks]


def _goes_on(view: View, statuses: Sequence[TaskStatus]) -> bool:
    if view.newest is None:
        return any(found.state == "running" for found in statuses)
    return not view.known or bool(view.active(view.newest.finish))


def _show(view: View, statuses: list[TaskStatus], as_json: bool, watch: bool) -> None:
    if as_json:
        click.echo(json.dumps(_content(view, statuses)))
        return
    from calibook.cli.show import console, show_status

    if watch and console().is_terminal:
        console().clear()
    goes_on = view.newest is not None and _goes_on(view, statuses)
    show_status(view.work, statuses, _facts(view, statuses), goes_on=goes_on, brief=watch)


def _facts(view: View, statuses: Sequence[TaskStatus]) -> list[str]:
    """Lines on rate, scheduler and report."""
    from calibook.jobs.rates import rate_of

    rate = rate_of(statuses)
    found = []
    if rate.per_minute:
        left = (
            f"{rate.seconds_left:.0f} s" if rate.seconds_left < 100 else f"{rate.seconds_left / 60:.0f} min"
        )
        found.append(f"{rate.per_minute:.1f} tasks/min; about {left} left")
    if view.silence:
        found.append(f"SLURM does not answer ({view.silence}); this is what the tasks' own records say")
    if view.submissions:
        found.append(f"summary and report: {view.finish_state()}")
    return found


def _content(view: View, statuses: Sequence[TaskStatus]) -> dict[str, Any]:
    from calibook.jobs.rates import rate_of

    content = {
        "work": str(view.work.folder),
        "id": view.work.id,
        "counts": dict(Counter(found.state for found in statuses)),
        "rate": asdict(rate_of(statuses)),
        "problems": view.work.plan.problems,
        "tasks": [found.to_dict() for found in statuses],
    }
    if view.submissions:
        content["scheduler"] = {
            "silence": view.silence,
            "finish": view.finish_state(),
            "submissions": [
                {"number": s.number, "round": s.round, "jobs": {job.name: s.job_id(job) for job in s.jobs}}
                for s in view.submissions
            ],
        }
    return content
