"""A Jupyter kernel of this interpreter that listens on sockets in a private folder.

TCP ports are picked by one process and bound by another, so that two kernels
which start at the same moment can get the same one; and everybody on the node
can connect to them. Sockets in a folder of our own have neither fault.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import Type, Unicode

from calibook.procedures.forked import WaitingKernel

_POLL_SECONDS = 0.01


class PromptClient(AsyncKernelClient):
    """A client that takes a kernel for ready as soon as it answers.

    jupyter_client then listens for another 0.2 s for messages that nobody asked
    for; who runs notebooks passes over them anyway.
    """

    async def _async_wait_for_ready(self, timeout: float | None = None) -> None:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not await self._answers():
            if not await self._async_is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > end:
                raise RuntimeError(f"Kernel didn't respond in {timeout} seconds")

    async def _answers(self) -> bool:
        """Whether it answers, and what it prints will be heard."""
        self.kernel_info()
        try:
            reply = await self.shell_channel.get_msg(timeout=1)
            if reply["msg_type"] != "kernel_info_reply":
                return False
            await self.iopub_channel.get_msg(timeout=0.2)
        except Empty:
            return False
        self._handle_kernel_info_reply(reply)
        return True

    wait_for_ready = _async_wait_for_ready


class IpcKernelManager(AsyncKernelManager):
    """Starts `kernel_process` in this interpreter, whatever kernels the user has installed.

    waiting: a process that is to be the kernel, instead of a new one
    """

    waiting: WaitingKernel | None = None
    client_class = Unicode("calibook.procedures.kernel.PromptClient")
    client_factory = Type("calibook.procedures.kernel.PromptClient")

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel to start; never looked up by name."""
        argv = [sys.executable, "-P", "-m", "calibook.procedures.kernel_process", "-f", "{connection_file}"]
        # Else a cell of the one line `run: int = 4` is taken for the magic command %run.
        argv += ["--InteractiveShell.automagic=False", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="Python 3 (ipykernel)", language="python")

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        if self.waiting is None:
            await super()._async_launch_kernel(kernel_cmd, **kw)
            return
        self.waiting.start(kernel_cmd, kw["env"], kw["cwd"], kw["stderr"].name)
        local: Any = self.provisioner
        local.process, local.pid, local.pgid = self.waiting, self.waiting.pid, None
        self._reconcile_connection_info(local.connection_info)

    async def _async_wait(self, pollinterval: float = _POLL_SECONDS) -> None:
        await super()._async_wait(min(pollinterval, _POLL_SECONDS))

    @property
    def pid(self) -> int | None:
        """Process ID of the kernel, None before it starts."""
        return getattr(self.provisioner, "pid", None)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the kernel process, negative for a signal; None as long as it runs."""
        process = getattr(self.provisioner, "process", None)
        return process.poll() if process else None


def kernel_environment(folder: Path) -> dict[str, str]:
    """Environment of the kernel: ours, with inline pictures and without the user's IPython set-up.

    The user's start-up files and settings must not change what a notebook does.
    """
    return {
        **os.environ,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(folder / "ipython"),
    }


def peak_memory_mb(pid: int | None) -> float:
    """Largest resident memory that a running process has had [MB]; 0 if it is not known."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    match = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(match[1]) * 1024 / 1e6 if match else 0.0
