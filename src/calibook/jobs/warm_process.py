"""A process that loads once what the notebooks of a request need, then forks one process per task.

Started by `warm.WarmParent` as `python -P -m calibook.jobs.warm_process NOTEBOOK...`.
It has one thread, no open data file, and does no work of its own, so that a
fork copies nothing but what was loaded. A line of JSON on its standard input
asks for a task, or for the summary; lines on its standard output tell process ID and exit code.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Never, TextIO

from calibook.files import read_json
from calibook.jobs.environment import task_environment
from calibook.procedures.lean import pretended_missing

# What notebooks of ours import, and is known to bear a fork. Anything else a task loads itself.
_SAFE = ("calibook", "extra_data", "extra_geom", "h5py", "isal", "matplotlib", "numba", "numpy", "pandas")
# What every kernel imports when it starts, or for its first cell.
_KERNEL = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",
    "ipykernel.iostream",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "nbparameterise.code",
    "tornado.platform.asyncio",
    "tornado.queues",
    "zmq.eventloop.zmqstream",
)
# What others import when they first draw a picture or show a table.
_PICTURES = ("matplotlib.backends.backend_agg", "PIL.PngImagePlugin")
_TABLES = ("pandas.io.formats.html", "pandas.io.formats.string")
_LATER = {
    "calibook": ("matplotlib.pyplot", *_PICTURES, "pandas", *_TABLES),
    "matplotlib": _PICTURES,
    "pandas": _TABLES,
}


def main() -> None:
    """Load, then fork until nobody can ask any more and all tasks have ended."""
    notebooks = [Path(name) for name in sys.argv[1:]]
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no reply
    os.environ.update(task_environment())
    gc.disable()  # what is loaded stays; to look for the little that does not takes a fifth of a second
    _load(notebooks)
    if threading.active_count() > 1:
        sys.exit("something that was loaded runs a thread of its own: not safe to fork")
    gc.freeze()  # a child that looks for garbage does not copy what was loaded
    gc.enable()
    _Server(replies).run()


def _load(notebooks: Sequence[Path]) -> None:
    # Nothing here needs a debugger, see `procedures.kernel_process`.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    importlib.import_module("calibook.jobs.summary")
    importlib.import_module("calibook.jobs.task")
    importlib.import_module("calibook.procedures.execute")
    names = [*_KERNEL, *_imports(notebooks)]
    names += [later for name in names for later in _LATER.get(name.partition(".")[0], ())]
    for name in names:
        with contextlib.suppress(Exception):  # the task itself will say so, with cell and line
            module = importlib.import_module(name)
            if name.partition(".")[0] == "calibook" and hasattr(module, "warm_up"):
                _load_numba()
                module.warm_up()
    _look_up()
    for notebook in notebooks:
        _read_and_write(notebook)
    if "matplotlib.backends.backend_agg" in sys.modules:
        _draw()


def _load_numba() -> None:
    """Numba loads SciPy's linear algebra only to see that it is there, and again where it is used."""
    with pretended_missing("scipy.linalg"):
        array_functions: Any = importlib.import_module("numba.np.arraymath")
    array_functions._HAVE_BLAS = True


def _look_up() -> None:
    """What is looked for among all installed packages, and kept."""
    from jupyter_client.provisioning import KernelProvisionerFactory

    from calibook.jobs.software import software_versions

    software_versions()
    KernelProvisionerFactory.instance()


def _read_and_write(notebook: Path) -> None:
    """The schema of notebooks is compiled when the first one is read."""
    import nbformat

    nbformat.writes(nbformat.read(notebook, as_version=4))


def _draw() -> None:
    """Fonts are looked up for the first picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().set(xlabel="x", title="x")
    FigureCanvasAgg(figure).print_png(io.BytesIO())


def _imports(notebooks: Sequence[Path]) -> list[str]:
    """Modules that notebooks import at the top of a cell, of those that are safe to load here."""
    found: dict[str, None] = {}
    for notebook in notebooks:
        for cell in read_json(notebook)["cells"]:
            if cell["cell_type"] != "code":
                continue
            try:
                statements = ast.parse("".join(cell["source"])).body
            except SyntaxError:  # a magic command
                continue
            for name in _imported(statements):
                if name.partition(".")[0] in _SAFE:
                    found[name] = None
    return [*found]


def _imported(statements: Sequence[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            yield statement.module


class _Server:
    def __init__(self, replies: TextIO):
        self.replies = replies
        self.children: set[int] = set()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def run(self) -> None:
        """Until standard input ends, then until the last child has."""
        asked = True
        text = b""
        while asked or self.children:
            waited_for = [self._woken, *([0] if asked else [])]
            ready = select.select(waited_for, [], [])[0]
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if asked and 0 in ready:
                more = os.read(0, 65536)
                asked = bool(more)
                *lines, text = (text + more).split(b"\n")
                for line in lines:
                    self._fork(json.loads(line))

    def _fork(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(order)
        self.children.add(pid)
        self._reply({"started": pid})

    def _become(self, order: dict[str, Any]) -> Never:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in (self._woken, self._wake, self.replies.fileno()):
            os.close(descriptor)
        _become(order)

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self.children.discard(pid)
            self._reply({"ended": pid, "code": os.waitstatus_to_exitcode(status)})

    def _reply(self, content: dict[str, int]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the runner was killed; its tasks go on
            self.replies.write(json.dumps(content) + "\n")
            self.replies.flush()


def _become(order: dict[str, Any]) -> Never:
    """In the child: do a task as `calibook task` does, or the summary, and end."""
    code = 1
    try:
        os.setsid()  # Ctrl-C reaches the runner alone, which passes it on
        nothing = os.open(os.devnull, os.O_RDWR)
        errors = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for source, target in ((nothing, 0), (nothing, 1), (errors, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(errors)
        os.environ.update(order["environment"])
        code = _do(Path(order["folder"]), order["task"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _do(folder: Path, task: str) -> int:
    """Exit code."""
    from calibook.jobs.summary import run_summary
    from calibook.jobs.task import run_task
    from calibook.procedures.forked import WaitingKernel

    # Forked now: later there are threads.
    kernel = WaitingKernel()
    try:
        return int(
            run_task(folder, task, kernel).state != "done" if task else not run_summary(folder, kernel)
        )
    finally:
        kernel.discard()


if __name__ == "__main__":
    main()
