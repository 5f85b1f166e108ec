"""The kernel process: IPython's kernel without any TCP port and without a debugger.

Started by `kernel.IpcKernelManager` as `python -P -m calibook.procedures.kernel_process`, or
forked (`forked.WaitingKernel`).
ipykernel takes the printed text of forked children in through a TCP port of
its own, even if all its other sockets are files; here that socket is a file too.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
from typing import Any


def main(argv: list[str] | None = None) -> None:
    """Run the kernel until the parent asks it to stop, or is gone. argv: instead of the command line's."""
    if os.environ.get("JPY_PARENT_PID") != str(os.getppid()):
        sys.exit("the process that started this kernel is gone")
    # ipykernel soon takes file descriptor 2 for itself; a crash shall be told in the task's log.
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    # Imports make many objects and hardly any garbage: searching them as often as Python does by
    # default takes a tenth of a small task's time. Arrays go with their last reference all the same.
    gc.set_threshold(10_000, 20, 10)
    # Nobody attaches a debugger here, and importing it takes a tenth of a second.
    sys.modules["debugpy"] = None  # type: ignore[assignment]

    from ipykernel import kernelapp

    class KernelApp(kernelapp.IPKernelApp):
        """Leaves its sockets and threads to the end of the process.

        ipykernel's own `close` waits for a thread that may wait for one that
        has already stopped, which costs seconds in one of a few runs.
        """

        def close(self) -> None:
            """Nothing: the process ends now, and all cells have been answered."""

    kernelapp.IOPubThread = _iopub_thread_class()  # type: ignore[misc]
    KernelApp.launch_instance(argv)


def _iopub_thread_class() -> Any:
    import zmq
    from ipykernel.iostream import IOPubThread
    from zmq.eventloop.zmqstream import ZMQStream

    class IpcIOPubThread(IOPubThread):
        """Takes in the text of forked children through a socket file beside the kernel's others."""

        def _setup_pipe_in(self) -> None:
            self._pipe_uuid = os.urandom(16)
            iopub_address = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
            self._pipe_address = f"{iopub_address}-children"
            pipe = self.socket.context.socket(zmq.PULL)
            pipe.bind(self._pipe_address)
            self._pipe_in = ZMQStream(pipe, self.io_loop)
            self._pipe_in.on_recv(self._handle_pipe_msg)

        def _setup_pipe_out(self) -> tuple[Any, Any]:
            context: zmq.Context = zmq.Context()  # a forked child can't use its parent's
            pipe = context.socket(zmq.PUSH)
            pipe.linger = 3000
            pipe.connect(self._pipe_address)
            return context, pipe

    return IpcIOPubThread


if __name__ == "__main__":
    main()
