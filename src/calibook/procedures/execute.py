"""Run a notebook: values filled in, a kernel of its own, saved as it runs.

papermill runs the cells. Three things are our own: the kernel's sockets
(`kernel.IpcKernelManager`), the saved file that is whole at every moment, and
an error that knows its cell, line and cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import nbformat
from nbclient.exceptions import CellExecutionError, DeadKernelError

from calibook.files import remove_parts, write_text
from calibook.procedures.failures import CellFailed, Execution, KernelDied, cell_failure
from calibook.procedures.fill import fill_in
from calibook.procedures.forked import WaitingKernel
from calibook.procedures.kernel import IpcKernelManager, kernel_environment, peak_memory_mb
from calibook.procedures.lean import stand_ins
from calibook.procedures.sockets import socket_folder

# papermill can read notebooks from many places, and be extended; each task would pay 0.4 s for that.
_NEVER_USED = dict.fromkeys(("pyarrow", "boto3", "azure", "gcsfs", "github")) | {
    "requests": SimpleNamespace(),
    "entrypoints": SimpleNamespace(get_group_all=lambda group: ()),
}
with stand_ins(_NEVER_USED):
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NotebookExecutionManager

__all__ = ["CellFailed", "Execution", "KernelDied", "execute"]

OnCell = Callable[[int, int], None]


def execute(
    notebook: Path,
    values: dict[str, Any],
    executed: Path,
    log: Path,
    cwd: Path,
    on_cell: OnCell | None = None,
    kernel: WaitingKernel | None = None,
) -> Execution:
    """Run a notebook with `values` in its parameter cell, in a new kernel process.

    notebook: the file to run; it is not changed
    executed: where the notebook with outputs is saved, after each cell and every 30 s
    log: what the cells print is appended here as it comes
    cwd: working folder of the kernel
    on_cell: called with (code cells done, code cells in all) at the start and after each
    kernel: a process that waits for a notebook, to be used instead of a new one

    Raises BadParameter before anything runs; CellFailed for an error in a cell;
    KernelDied if the kernel process ended. The executed notebook is saved then too.
    """
    node = fill_in(nbformat.read(notebook, as_version=4), values)
    _prepare(node)
    executed.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(executed)
    saved = _SavedNotebook(node, executed, on_cell or (lambda done, total: None))
    with socket_folder() as folder, open(log, "a", encoding="utf-8", errors="replace") as log_file:
        return _run(node, saved, folder, log_file, cwd, kernel)


def _prepare(node: Any) -> None:
    """What papermill expects to find in a notebook, and no outputs from before."""
    node.metadata["papermill"] = {}
    node.metadata.setdefault(
        "kernelspec", {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    )
    for cell in node.cells:
        cell.metadata["papermill"] = {}


def _run(
    node: Any, saved: _SavedNotebook, folder: Path, log_file: TextIO, cwd: Path, kernel: WaitingKernel | None
) -> Execution:
    started = time.monotonic()
    manager = IpcKernelManager(transport="ipc", connection_file=str(folder / "k.json"))
    manager.waiting = kernel
    client = _Client(
        saved,
        km=manager,
        stdout_file=log_file,
        stderr_file=log_file,
        startup_timeout=300,
        coalesce_streams=True,
    )
    saved.notebook_start()
    failure: CellFailed | KernelDied | None = None
    try:
        # What the process itself writes (a crash in C code) bypasses the cells; it goes to the log.
        client.execute(
            cwd=str(cwd),
            env=kernel_environment(folder),
            stdout=log_file,
            stderr=log_file,
            cleanup_kc=True,
        )
        failure = saved.failure
    except RuntimeError as error:
        # nbclient says a bare RuntimeError when the kernel doesn't come up.
        if saved.begun and not isinstance(error, DeadKernelError):
            raise
        failure = saved.kernel_died(client.exit_code)
    finally:
        saved.notebook_complete()
    execution = Execution(time.monotonic() - started, client.peak_memory_mb, saved.done)
    if failure:
        failure.execution = execution
        raise failure
    return execution


class _Client(PapermillNotebookClient):
    """Papermill's client, which also notes the kernel's peak memory before the kernel goes."""

    peak_memory_mb = 0.0
    exit_code: int | None = None

    def papermill_execute_cells(self) -> None:
        """Run the cells; then look at the kernel process once more before it is ended."""
        try:
            super().papermill_execute_cells()
        finally:
            self.exit_code = self.km.exit_code
            self.peak_memory_mb = peak_memory_mb(self.km.pid) or self.peak_memory_mb

    def execute_cell(self, cell: Any, cell_index: int, **kwargs: Any) -> Any:
        """Run one cell and count it if it ran to its end."""
        result = super().execute_cell(cell, cell_index, **kwargs)
        self.nb_man.done += cell.cell_type == "code"
        self.peak_memory_mb = peak_memory_mb(self.km.pid) or self.peak_memory_mb
        return result


class _SavedNotebook(NotebookExecutionManager):
    """The notebook on its way: saved whole, counted, its failure noted."""

    def __init__(self, node: Any, executed: Path, on_cell: OnCell):
        super().__init__(node, output_path=str(executed), progress_bar=False, autosave_cell_every=30)
        self.on_cell = on_cell
        self.total = sum(cell.cell_type == "code" for cell in node.cells)
        self.begun = self.done = 0
        self.current: Any = None
        self.failure: CellFailed | None = None
        self.between = self.over = False

    def save(self, **kwargs: Any) -> None:
        """Save, so that a reader finds either the state before or this one."""
        if self.between:  # the next cell's start, or the end, saves the same at once
            return
        write_text(self.output_path, nbformat.writes(self.nb) + "\n", flush=self.over)
        self.last_save_time = self.now()

    def notebook_start(self, **kwargs: Any) -> None:
        """Forget old outputs and save."""
        super().notebook_start(**kwargs)
        self.on_cell(0, self.total)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Save for good."""
        self.over = True
        super().notebook_complete(**kwargs)

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Note which code cell runs. Text cells need no saving."""
        if cell.cell_type == "code":
            self.begun += 1
            self.current = cell
            super().cell_start(cell, cell_index, **kwargs)

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Note how a code cell ended."""
        if cell.cell_type == "code":
            self.between = True
            super().cell_complete(cell, cell_index, **kwargs)
            self.between = False
            self.on_cell(self.done, self.total)

    def cell_exception(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Note the error of a cell."""
        super().cell_exception(cell, cell_index, **kwargs)
        error = kwargs.get("exception")
        if isinstance(error, CellExecutionError):
            shown = [output for output in cell.outputs if output.output_type == "error"]
            output = shown[-1] if shown else error
            self.failure = cell_failure(self.begun, cell.source, cell.execution_count, output)

    def kernel_died(self, exit_code: int | None) -> KernelDied:
        """Note in the notebook that its kernel is gone."""
        error = KernelDied(self.begun, exit_code)
        if self.current is not None:
            self.cell_exception(self.current)
            self.current.outputs.append(
                nbformat.v4.new_output("error", ename="KernelDied", evalue=str(error), traceback=[str(error)])
            )
        return error
