"""A kernel process that is forked, not started, so that it finds everything imported.

It is forked from a process with a single thread, waits until somebody has a
notebook for it, and then is a kernel like any other: `kernel.IpcKernelManager`
talks with it in the same way.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Never

_POLL_SECONDS = 0.01


class WaitingKernel:
    """A forked child of this process, waiting to become a kernel; looks like a `subprocess.Popen`.

    Made while this process has but one thread. Without `start` it ends when
    this process does, or by `discard`.
    """

    stdin = stdout = stderr = None

    def __init__(self) -> None:
        self.returncode: int | None = None
        reading, self._order = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _wait_and_run(reading, self._order)
        os.close(reading)

    def start(self, command: list[str], env: Mapping[str, str], cwd: str, output: Path) -> None:
        """Let it be the kernel of a command.

        command: as for a kernel that is started; what follows its module's name counts
        output: file to which the process itself writes, beside its cells
        """
        module = command.index("-m") + 1
        argv = [*command[module + 1 :], f"--IPKernelApp.parent_handle={os.getpid()}"]
        env = {**env, "JPY_PARENT_PID": str(os.getpid())}
        order = {"argv": argv, "env": env, "cwd": cwd, "output": str(output)}
        with os.fdopen(self._order, "w") as pipe:
            json.dump(order, pipe)
        self._order = -1

    def discard(self) -> None:
        """End it, if nothing has."""
        if self._order >= 0:
            os.close(self._order)  # then it ends by itself
            self._order = -1
        elif self.poll() is None:
            self.kill()
        self.wait()

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
            time.sleep(_POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _wait_and_run(reading: int, writing: int) -> Never:
    """In the child: never returns, so that nothing of the parent's work is done twice."""
    code = 1
    try:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        if not text:
            os._exit(0)
        code = _run(json.loads(text))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    _end(code)


def _run(order: Mapping[str, Any]) -> int:
    from calibook.procedures import kernel_process

    os.setsid()  # as jupyter_client does: an interrupt of the terminal is for the parent
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    _forget_randomness()
    kernel_process.main(order["argv"])
    return 0


def _end(code: int) -> Never:
    """Close what the notebook left open, as a process does that was started, but free nothing in vain."""
    from IPython.core.getipython import get_ipython

    if (shell := get_ipython()) is not None:
        with suppress(Exception):
            shell.displayhook.flush()
        shell.user_ns.clear()
    gc.collect()
    atexit._run_exitfuncs()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    ctypes.PyDLL(None).exit(code)  # HDF5 closes its files here; no thread of Python's runs any more
    os._exit(code)


def _forget_randomness() -> None:
    """All children begin with their parent's state; Python's own generator knows, NumPy's doesn't."""
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
