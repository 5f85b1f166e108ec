"""The tasks of a request on this machine: a few at a time, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from calibook.files import remove_parts_in
from calibook.jobs.environment import cpus
from calibook.jobs.progress import Progress, Snapshot
from calibook.jobs.state import (
    TaskStatus,
    begin_attempt,
    end_attempt,
    is_alive,
    read_attempts,
    status_of,
    task_status,
)
from calibook.jobs.stopping import stoppable
from calibook.jobs.warm import TaskProcess, WarmParent
from calibook.jobs.work import Work
from calibook.procedures.tasks import Plan, Task

_POLL_SECONDS = 0.05
_SHOW_SECONDS = 0.5
# How long a task may take to tidy up before it is killed [s].
_GRACE_SECONDS = 5.0


def default_workers(plan: Plan) -> int:
    """As many tasks at a time as there are CPUs for, and memory."""
    memory = max((task.memory_mb for task in plan.tasks), default=0)
    fit = psutil.virtual_memory().available // (memory << 20) if memory else cpus()
    return max(1, min(cpus(), fit, len(plan.tasks)))


def task_command(work: Work, task: Task) -> list[str]:
    """The command that does a task, the same on this machine and in a scheduler's job.

    -P, as the current folder may hold a folder `calibook`: that of the work folders.
    """
    return [sys.executable, "-P", "-m", "calibook", "task", "--", str(work.folder), task.name]


def run_local(
    work: Work,
    workers: int | None = None,
    progress: Progress | None = None,
    warm: WarmParent | None = None,
) -> list[TaskStatus]:
    """Do all tasks that are not done, `workers` at a time. The caller holds the work folder's lock.

    warm: what has loaded what tasks need, or is about to; None for one of its own

    A task that fails never stops the others. Raises KeyboardInterrupt after
    Ctrl-C or SIGTERM, when the tasks that ran are ended.
    """
    remove_parts_in(work.folder)
    with ExitStack() as stack:
        if progress is not None:
            stack.enter_context(progress)
        stack.enter_context(stoppable())
        warm = warm or stack.enter_context(WarmParent([work.notebook]))
        _Pool(work, workers or default_workers(work.plan), progress, warm).run()
    return status_of(work)


@dataclass
class _Running:
    """A task at work. process: None if an earlier, killed runner left it behind."""

    task: Task
    process: TaskProcess | None


class _Pool:
    def __init__(self, work: Work, workers: int, progress: Progress | None, warm: WarmParent):
        self.work, self.workers, self.progress, self.warm = work, workers, progress, warm
        self.waiting: deque[Task] = deque()
        self.running: list[_Running] = []
        self.snapshot = Snapshot(total=len(work.plan.tasks))
        threads = os.environ.get("CALIBOOK_THREADS") or str(max(1, cpus() // workers))
        self.environment = {"CALIBOOK_THREADS": threads}

    def run(self) -> None:
        """Until no task waits or runs."""
        self._sort()
        shown = 0.0
        try:
            while self.waiting or self.running:
                self._start()
                if time.monotonic() - shown > _SHOW_SECONDS:
                    self._show()
                    shown = time.monotonic()
                self._wait()
                self._reap()
        except BaseException:
            self._stop()
            raise
        self._show()

    def _wait(self) -> None:
        """For a moment, or until a task ends."""
        if not self.warm.wait(_POLL_SECONDS):
            time.sleep(_POLL_SECONDS)

    def _sort(self) -> None:
        """What is done, what still runs although its runner was killed, and what waits."""
        for task, status in zip(self.work.plan.tasks, status_of(self.work), strict=True):
            if status.state == "done":
                self.snapshot.done_before += 1
            elif _lives_here(self.work, task):
                self.running.append(_Running(task, None))
            else:
                self.waiting.append(task)

    def _start(self) -> None:
        while self.waiting and len(self.running) < self.workers:
            task = self.waiting.popleft()
            log = self.work.log(task)
            log.parent.mkdir(parents=True, exist_ok=True)
            process = self.warm.start(self.work, task, log, self.environment)
            self.running.append(_Running(task, process or self._start_cold(task, log)))

    def _start_cold(self, task: Task, log: Path) -> TaskProcess:
        with open(log, "ab") as errors:  # what ends it before it can write its own log
            return subprocess.Popen(
                task_command(self.work, task),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, **self.environment},
                start_new_session=True,  # Ctrl-C reaches us alone, we pass it on
            )

    def _reap(self) -> None:
        for child in list(self.running):
            if child.process is None:
                if _lives_here(self.work, child.task):
                    continue
            elif child.process.poll() is None:
                continue
            else:
                _note_end(self.work, child.task, child.process)
            self.running.remove(child)
            status = task_status(self.work, child.task)
            if child.process is None and status.state != "done":
                self.waiting.append(child.task)
            else:
                self.snapshot.ended.append(status)

    def _show(self) -> None:
        if self.progress is None:
            return
        self.snapshot.running = {}
        for child in self.running:
            attempts = list(read_attempts(self.work.plan.task_folder(child.task)))
            last = attempts[-1] if attempts and attempts[-1].state == "running" else None
            self.snapshot.running[child.task.name] = (last.cells_done, last.cells) if last else (0, 0)
        self.progress.show(self.snapshot)

    def _stop(self) -> None:
        """End the tasks that we started, and their kernels: ask first, then kill."""
        ours = [child for child in self.running if child.process is not None]
        family = [process for child in ours for process in _family(child.process)]
        for child in ours:
            assert child.process is not None
            child.process.terminate()
        _, alive = psutil.wait_procs(family, timeout=_GRACE_SECONDS)
        for process in alive:
            process.kill()
        for child in ours:
            assert child.process is not None
            child.process.wait()
            _note_end(self.work, child.task, child.process)


def _family(process: TaskProcess | None) -> list[psutil.Process]:
    """A child process and all below it."""
    try:
        parent = psutil.Process(process.pid) if process else None
        return [parent, *parent.children(recursive=True)] if parent else []
    except psutil.NoSuchProcess:
        return []


def _lives_here(work: Work, task: Task) -> bool:
    """Whether a process of this machine is at the task now."""
    attempts = list(read_attempts(work.plan.task_folder(task)))
    return bool(attempts) and attempts[-1].state == "running" and is_alive(attempts[-1], elsewhere=False)


def _note_end(work: Work, task: Task, process: TaskProcess) -> None:
    """Write the end of a task whose process could not do it itself."""
    folder = work.plan.task_folder(task)
    attempts = [attempt for attempt in read_attempts(folder) if attempt.pid == process.pid]
    if attempts and attempts[-1].ended:
        return
    if task_status(work, task).state == "done":
        return
    attempt = attempts[-1] if attempts else begin_attempt(folder, process.pid)
    code = process.wait()
    if code < 0:
        hint = " (out of memory?)" if code == -9 else ""
        end_attempt(folder, attempt, "killed", f"killed by signal {-code}{hint}")
    else:
        end_attempt(
            folder, attempt, "bug", f"the task ended with exit code {code} before it began; see log.txt"
        )
