"""How far each task is, read from what the tasks themselves have written.

Each attempt at a task has a folder of its own, `attempts/<n>`, claimed by
making it: two attempts that a node failure starts at once can't meet. Its
`state.json` is written whole by the attempt, at start, after each cell and at
the end. Whether a task is done is said by its record alone.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from calibook import files
from calibook.jobs.record import is_done
from calibook.jobs.work import Work
from calibook.procedures.tasks import Task

STATES = (
    "waiting",
    "running",
    "done",
    "overtaken",
    "bad input",
    "bad parameter",
    "no constants",
    "constant damaged",
    "store unusable",
    "out of memory",
    "out of time",
    "killed",
    "cancelled",
    "preempted",
    "node lost",
    "bug",
)
"""How a task stands or an attempt ended.

overtaken: of an attempt alone: another one was complete first
killed: by somebody unknown; cancelled: on purpose; preempted: for a more urgent job
"""

# An attempt on another machine is taken for lost after so much silence [s];
# while it lives it touches its state file every HEARTBEAT seconds.
HEARTBEAT = 20.0
_SILENT_AFTER = 120.0

# A process that has the same id but began this much later is another one [s].
_SAME_START = 2.0


@dataclass(frozen=True)
class Attempt:
    """One try at a task.

    state: "running", or how it ended
    process_started: start of its process [s since 1970]; with the pid it names the process
    started, ended: times in ISO 8601, UTC
    cause: why it failed, in one line
    cell, line, source_line: where in the notebook it failed (numbers from 1; 0 if not in a cell)
    cells_done, cells: how far the notebook is
    peak_memory_mb: of the kernel; job_memory_mb: of all processes of the task together, as sampled
    job, job_name, node: what the scheduler calls them; "" without one
    cpus, memory_limit_mb: what the scheduler gave; 0 if it did not say
    """

    number: int
    state: str
    host: str
    pid: int
    process_started: float
    started: str
    ended: str = ""
    cause: str = ""
    cell: int = 0
    line: int = 0
    source_line: str = ""
    cells_done: int = 0
    cells: int = 0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    job_memory_mb: float = 0.0
    job: str = ""
    job_name: str = ""
    node: str = ""
    cpus: int = 0
    memory_limit_mb: int = 0


@dataclass(frozen=True)
class TaskStatus:
    """Where a task stands. state: one of STATES; attempts: oldest first; action: what will be done."""

    name: str
    state: str
    cause: str = ""
    attempts: tuple[Attempt, ...] = field(default_factory=tuple)
    action: str = ""

    @property
    def last(self) -> Attempt | None:
        """The newest attempt, None before the first."""
        return self.attempts[-1] if self.attempts else None

    @property
    def tries(self) -> int:
        """How often the task was begun, with attempts that were killed before they could say a word."""
        return self.last.number if self.last else 0

    @property
    def failed(self) -> bool:
        """Whether the newest attempt ended and the task is not done."""
        return self.state not in ("waiting", "running", "done")

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**vars(self), "attempts": [dict(vars(attempt)) for attempt in self.attempts]}


def status_of(work: Work) -> list[TaskStatus]:
    """Where all tasks stand, in the order of the plan. Reads files only."""
    return [task_status(work, task) for task in work.plan.tasks]


def task_status(work: Work, task: Task) -> TaskStatus:
    """Where one task stands."""
    attempts = tuple(read_attempts(work.plan.task_folder(task)))
    if is_done(work, task):
        return TaskStatus(task.name, "done", "", attempts)
    if not attempts:
        return TaskStatus(task.name, "waiting", "", attempts)
    last = attempts[-1]
    if last.state in ("done", "overtaken"):
        return TaskStatus(task.name, "waiting", "done once, but its files are gone or changed", attempts)
    return TaskStatus(task.name, last.state, last.cause, attempts)


def read_attempts(task_folder: Path) -> Iterator[Attempt]:
    """The attempts at a task, oldest first. One whose process is gone reads as killed."""
    for number in _numbers(task_folder):
        path = _state_file(task_folder, number)
        try:
            attempt = Attempt(**files.read_json(path))
        except (FileNotFoundError, ValueError):
            continue  # claimed this moment, or killed before it could say anything; or there was a power cut
        yield _seen(attempt, path) if attempt.state == "running" else attempt


def _seen(attempt: Attempt, path: str) -> Attempt:
    """A running attempt, as killed or lost if its process is gone."""
    if attempt.host != socket.gethostname():
        silent = time.time() - Path(path).stat().st_mtime
        if silent < _SILENT_AFTER:
            return attempt
        return replace(attempt, state="node lost", cause=f"no sign of life from {attempt.host} any more")
    if is_alive(attempt):
        return attempt
    cause = "its process ended without a word (killed, or the machine restarted)"
    return replace(attempt, state="killed", cause=cause)


def is_alive(attempt: Attempt, *, elsewhere: bool = True) -> bool:
    """Whether the attempt's process is still there; `elsewhere` is the answer for another host."""
    if attempt.host != socket.gethostname():
        return elsewhere
    import psutil

    try:
        process = psutil.Process(attempt.pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and abs(process.create_time() - attempt.process_started) < _SAME_START
        )
    except psutil.NoSuchProcess:
        return False


def begin_attempt(task_folder: Path, pid: int | None = None, **more: Any) -> Attempt:
    """Claim the next attempt for this process (or another one on this host).

    more: further fields of Attempt
    """
    pid = os.getpid() if pid is None else pid
    number = max(_numbers(task_folder), default=0) + 1
    while True:
        try:
            (task_folder / "attempts" / str(number)).mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
    import psutil

    try:
        process_started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        process_started = 0.0
    attempt = Attempt(number, "running", socket.gethostname(), pid, process_started, _now(), **more)
    write_attempt(task_folder, attempt)
    return attempt


def end_attempt(task_folder: Path, attempt: Attempt, state: str, cause: str = "", **more: Any) -> Attempt:
    """Write how an attempt ended. more: further fields of Attempt."""
    ended = replace(attempt, state=state, cause=one_line(cause), ended=_now(), **more)
    write_attempt(task_folder, ended)
    return ended


def write_attempt(task_folder: Path, attempt: Attempt, *, flush: bool = True) -> None:
    """Write an attempt's state file, whole. flush: as for `files.put_in_place`."""
    files.write_json(_state_file(task_folder, attempt.number), asdict(attempt), flush=flush)


def touch_attempt(task_folder: Path, attempt: Attempt) -> None:
    """Show other machines that the attempt lives."""
    os.utime(_state_file(task_folder, attempt.number))


def one_line(text: str, longest: int = 500) -> str:
    """A cause as one line, for tables."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _state_file(task_folder: Path, number: int) -> str:
    return f"{task_folder}/attempts/{number}/state.json"


def _numbers(task_folder: Path) -> list[int]:
    try:
        names = os.listdir(f"{task_folder}/attempts")  # noqa: PTH208 - thousands of them
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
