"""Which tasks are done again, and with what: decided by how they ended.

What the cluster did to a task is tried again: out of memory with twice the
memory it was seen to take, out of time with twice the time, everything else as
it was. What the task did itself is not: the same input gives the same error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from calibook.jobs.settings import SlurmSettings
from calibook.jobs.slurm.view import View
from calibook.jobs.state import TaskStatus
from calibook.procedures.tasks import Task

# Not the task's own fault.
CLUSTER = ("out of memory", "out of time", "killed", "preempted", "node lost")
# Nobody tries these again by itself; a user who says `resume` has seen to it.
ON_REQUEST = ("cancelled", "no constants", "constant damaged", "store unusable")

# Python, a kernel and our own process, beside what a plan expects [MB], and what it may be wrong by.
_OWN_MB, _MEMORY_MARGIN, _TIME_MARGIN = 500, 1.25, 3.0


@dataclass(frozen=True)
class Need:
    """What a job for a task asks for. 0: what the cluster gives."""

    memory_mb: int
    minutes: int


def first_need(tasks: list[Task], settings: SlurmSettings) -> Need:
    """For tasks that were never tried: what the settings say, else what the plan expects."""
    memory = max((task.memory_mb for task in tasks), default=0)
    seconds = max((task.seconds for task in tasks), default=0.0) * settings.files_per_job
    return Need(
        settings.memory_mb or (int(memory * _MEMORY_MARGIN) + _OWN_MB if memory else 0),
        settings.minutes or (10 + int(seconds * _TIME_MARGIN / 60) if seconds else 0),
    )


def next_need(view: View, status: TaskStatus, first: Need, settings: SlurmSettings) -> Need | None:
    """For a task that failed in its newest job; None if it already had the most that is allowed."""
    places, last = view.places.get(status.name, []), status.last
    job = places[-1].job if places else None
    memory = (job.memory_mb if job else 0) or (last.memory_limit_mb if last else 0) or first.memory_mb
    minutes = (job.minutes if job else 0) or first.minutes
    if status.state == "out of memory":
        peak = last.job_memory_mb if last else 0.0
        wanted = _steps(2 * max(memory, peak), memory)
        need = Need(_capped(wanted, settings.most_memory_mb), minutes)
        return need if need.memory_mb > memory else None
    if status.state == "out of time":
        need = Need(memory, _capped(2 * minutes, settings.most_minutes))
        return need if need.minutes > minutes or not minutes else None
    return Need(memory if job else first.memory_mb, minutes)


def wanted_by_user(status: TaskStatus, task: Task) -> bool:
    """Whether `resume` does a task that is neither done nor under way."""
    if status.state == "bad input":
        return _changed_since(status, task)
    return status.state in ("waiting", *CLUSTER, *ON_REQUEST)


def wanted_by_itself(view: View, status: TaskStatus, settings: SlurmSettings) -> bool:
    """Whether to try a task again that is neither done nor under way, though nobody asks for it."""
    if status.state == "running":  # its job is gone, though its process may live on a lost node
        return True
    if status.state in ("out of memory", "out of time"):
        return next_need(view, status, Need(0, 0), settings) is not None
    return status.state in ("waiting", *CLUSTER)


def action(view: View, status: TaskStatus, task: Task) -> str:
    """What will be done about a task that failed, for people; "" if there is nothing to say."""
    live = view.live_place(status)
    if live and status.tries:
        place, entry = live
        memory = f" with {place.job.memory_mb} MB" if place.job.memory_mb else ""
        return f"runs again as job {entry.id}{memory}"
    if not status.failed:
        return ""
    newest = view.newest
    if newest and view.active(newest.finish) and not newest.cancelled:
        left = newest.round < newest.settings["retries"]
        if left and wanted_by_itself(view, status, newest.executor_settings):
            more = {"out of memory": " with more memory", "out of time": " with more time"}
            return f"will be tried again{more.get(status.state, '')} when the other tasks have ended"
    if wanted_by_user(status, task):
        return "`calibook resume` tries it again"
    return "is not tried again, as it would fail again; `calibook resume --again` does it all the same"


def _steps(amount: float, unit: int) -> int:
    """Rounded up to halves of a unit, so that a few arrays serve all tasks."""
    half = max(unit // 2, 1)
    return -int(-amount // half) * half


def _capped(value: int, most: int) -> int:
    return min(value, most) if most else value


def _changed_since(status: TaskStatus, task: Task) -> bool:
    """Whether an input was changed after the newest attempt began."""
    if status.last is None:
        return True
    began = datetime.fromisoformat(status.last.started).replace(tzinfo=UTC).timestamp()
    try:
        return any(Path(path).stat().st_mtime > began for path in task.inputs)
    except OSError:
        return False
