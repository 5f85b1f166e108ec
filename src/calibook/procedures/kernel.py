"""A Jupyter kernel of this interpreter that listens on sockets in a private folder.

TCP ports are picked by one process and bound by another, so that two kernels
which start at the same moment can get the same one; and everybody on the node
can connect to them. Sockets in a folder of our own have neither fault.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import Unicode

FOLDER_PREFIX = "calibook-"
# An AF_UNIX address holds 108 bytes on Linux; the name in the folder needs 20.
LONGEST_FOLDER = 80
# Age at which the folder of a process that is gone is removed [s].
LEFT_OVER_AFTER = 3600


class IpcKernelManager(AsyncKernelManager):
    """Starts `kernel_process` in this interpreter, whatever kernels the user has installed."""

    client_class = Unicode("jupyter_client.asynchronous.AsyncKernelClient")

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel to start; never looked up by name."""
        argv = [sys.executable, "-P", "-m", "calibook.procedures.kernel_process", "-f", "{connection_file}"]
        # Else a cell of the one line `run: int = 4` is taken for the magic command %run.
        argv += ["--InteractiveShell.automagic=False", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="Python 3 (ipykernel)", language="python")

    @property
    def pid(self) -> int | None:
        """Process ID of the kernel, None before it starts."""
        return getattr(self.provisioner, "pid", None)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the kernel process, negative for a signal; None as long as it runs."""
        process = getattr(self.provisioner, "process", None)
        return process.poll() if process else None


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder for a kernel's sockets that only this user can enter, gone when the block ends."""
    parent = Path(tempfile.gettempdir())
    prefix = f"{FOLDER_PREFIX}{os.getpid()}-"
    if len(os.fsencode(parent / prefix)) + 8 > LONGEST_FOLDER:
        parent = Path("/tmp")
    _remove_left_over(parent)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left_over(parent: Path) -> None:
    """Remove this user's folders of processes that were killed before they could tidy up.

    Only old ones: a process that we don't see may run in a container that shares
    our folder. Its sockets need their names for the first seconds alone.
    """
    for folder in parent.glob(f"{FOLDER_PREFIX}*"):
        match = re.fullmatch(rf"{FOLDER_PREFIX}(\d+)-\w+", folder.name)
        if not match or Path(f"/proc/{match[1]}").exists():
            continue
        try:
            facts = folder.stat()
        except OSError:  # somebody else removed it meanwhile
            continue
        if facts.st_uid == os.getuid() and time.time() - facts.st_mtime > LEFT_OVER_AFTER:
            shutil.rmtree(folder, ignore_errors=True)


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
