"""How a notebook failed: which cell, which line, and whose fault."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from calibook import errors
from calibook.errors import CalibookError

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Execution:
    """What running a notebook took.

    seconds: from the start of the kernel to its end
    peak_memory_mb: largest resident memory of the kernel process [MB]
    cells: code cells that ran to their end
    """

    seconds: float
    peak_memory_mb: float
    cells: int


class CellFailed(CalibookError):
    """A cell raised an error.

    cell: its number among the code cells, from 1; line, source_line: where in it
    ename, evalue: name and text of the error; traceback: plain text
    cause: the state in which the task ends
    execution: what it took until then
    """

    def __init__(self, cell: int, line: int, source_line: str, ename: str, evalue: str, traceback: str):
        self.cell, self.line, self.source_line = cell, line, source_line
        self.ename, self.evalue, self.traceback = ename, evalue, traceback
        self.cause = cause_of(ename)
        self.execution: Execution | None = None
        super().__init__(f"cell {cell}, line {line}: {ename}: {evalue}\n    {source_line.strip()}")

    def __reduce__(self) -> tuple[Any, ...]:
        args = (self.cell, self.line, self.source_line, self.ename, self.evalue, self.traceback)
        return type(self), args, {"execution": self.execution}


class KernelDied(CalibookError):
    """The kernel process ended while a cell was running.

    cell: number of that cell among the code cells, from 1; 0 if none had begun
    exit_code: of the process, negative for a signal; None if not known
    execution: what it took until then
    """

    cause = "killed"

    def __init__(self, cell: int, exit_code: int | None):
        self.cell, self.exit_code = cell, exit_code
        self.execution: Execution | None = None
        how = "" if exit_code is None else f" with exit code {exit_code}"
        if exit_code is not None and exit_code < 0:
            how = f" by signal {-exit_code}"
        hint = "; often the node had no memory left" if exit_code == -9 else ""
        super().__init__(f"cell {cell}: the kernel process was ended{how}{hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cell, self.exit_code), {"execution": self.execution}


def cause_of(ename: str) -> str:
    """State in which a task ends when an error of this name stops it."""
    known = getattr(errors, ename, None)
    if isinstance(known, type) and issubclass(known, CalibookError):
        return known.cause
    if ename.endswith("MemoryError"):  # NumPy's is _ArrayMemoryError
        return "out of memory"
    return "killed" if ename == "KeyboardInterrupt" else "bug"


def cell_failure(cell: int, source: str, execution_count: int | None, output: Any) -> CellFailed:
    """The failure that the error output of a cell tells.

    output: with ename, evalue, traceback (text, or a list of texts), as in a notebook
    """
    text = output.traceback if isinstance(output.traceback, str) else "\n".join(output.traceback)
    traceback = _ANSI.sub("", text)
    line = _line(traceback, execution_count, output.evalue)
    lines = source.splitlines()
    source_line = lines[line - 1] if 0 < line <= len(lines) else ""
    return CellFailed(cell, line, source_line, output.ename, output.evalue, traceback)


def _line(traceback: str, execution_count: int | None, evalue: str) -> int:
    """Line of this very cell at which the error left it, from IPython's traceback; 0 if not told.

    A frame's heading is "Cell In[3], line 5". There may be frames of earlier
    cells, whose functions this one called; several frames of this cell if it
    calls its own functions, of which the last is nearest to the error.
    """
    found = re.findall(rf"Cell In\s?\[{execution_count}\], line (\d+)", traceback)
    return int(found[-1]) if found else 0
