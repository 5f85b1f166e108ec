"""The runner's side of `warm_process`: tasks and summary in processes that need not load anything."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from calibook.jobs.work import Work
from calibook.procedures.tasks import Task

_POLL_SECONDS = 0.01
_INLINE = "module://matplotlib_inline.backend_inline"


class TaskProcess(Protocol):
    """What the runner needs of a process that does a task; `subprocess.Popen` is one."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class WarmParent:
    """Forks the processes of tasks and of a summary; used as a context.

    notebooks: what they import is loaded, when the first is to begin, or when `begin` is called

    Whatever ends the runner, what runs goes on, as if it had been started by it.
    """

    def __init__(self, notebooks: Sequence[Path]):
        self.notebooks = notebooks
        self._codes: dict[int, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._text = b""
        self._over = False

    def __enter__(self) -> WarmParent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.terminate()  # what it forked has ended
        self._process.wait()

    def begin(self) -> None:
        """Load while something else is to be done."""
        self._process = self._process or subprocess.Popen(
            [sys.executable, "-P", "-m", "calibook.jobs.warm_process", *map(str, self.notebooks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # matplotlib looks at it when it is loaded; every kernel has the same.
            env={**os.environ, "MPLBACKEND": _INLINE},
            start_new_session=True,
        )

    def start(
        self, work: Work, task: Task | None, log: Path, environment: Mapping[str, str] | None = None
    ) -> ForkedProcess | None:
        """Begin a task, or the summary if there is none.

        log: what the process says before it has its own log
        environment: variables of the process that differ from ours

        None if this parent is not fit to fork: then it must be started in another way.
        """
        self.begin()
        assert self._process and self._process.stdin
        order = {
            "folder": str(work.folder),
            "task": task.name if task else "",
            "log": str(log),
            "environment": dict(environment or {}),
        }
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        while (reply := self._next_reply(wait=True)) is not None:
            if "started" in reply:
                return ForkedProcess(reply["started"], self)
        return None

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until a task ends. False at once if there is nothing to wait for."""
        if self._process is None or self._over:
            return False
        assert self._process.stdout
        select.select([self._process.stdout], [], [], seconds)
        return True

    def code_of(self, pid: int, *, wait: bool = False) -> int | None:
        """Exit code of a task's process; None while it runs.

        If this parent was killed nobody knows: then that of a killed process
        as soon as the task's process is gone.
        """
        while pid not in self._codes and self._next_reply(wait=wait) is not None:
            pass
        if self._over and pid not in self._codes and not Path(f"/proc/{pid}").exists():
            self._codes[pid] = -signal.SIGKILL
        return self._codes.get(pid)

    def _next_reply(self, *, wait: bool) -> dict[str, int] | None:
        """One line of the process, and notes the exit codes; None if there is none (any more)."""
        assert self._process and self._process.stdout
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._text:
            os.set_blocking(descriptor, wait)
            try:
                more = os.read(descriptor, 65536)
            except BlockingIOError:
                return None
            self._over |= not more
            if not more:
                return None
            self._text += more
        line, _, self._text = self._text.partition(b"\n")
        reply: dict[str, int] = json.loads(line)
        if "ended" in reply:
            self._codes[reply["ended"]] = reply["code"]
        return reply


class ForkedProcess:
    """A process that a WarmParent has forked."""

    def __init__(self, pid: int, parent: WarmParent):
        self.pid, self._parent = pid, parent
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._parent.code_of(self.pid)
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended."""
        while self.poll() is None:
            self.returncode = self._parent.code_of(self.pid, wait=True)
            time.sleep(_POLL_SECONDS)
        assert self.returncode is not None
        return self.returncode
