"""The plan of a request: the notebook's parameter cell and plan cell, run in this process."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Mapping
from typing import Any

from calibook.errors import CalibookError
from calibook.procedures.fill import fill_in
from calibook.procedures.notebook import Procedure, cells_tagged
from calibook.procedures.tasks import Plan, Task


def make_plan(procedure: Procedure, values: Mapping[str, Any]) -> Plan:
    """The plan that the notebook's `plan` cell makes of these values.

    Without such a cell the notebook is one task, named as the notebook.
    Errors of calibook pass through; any other becomes a CalibookError that
    names notebook, cell and line.
    """
    if not procedure.has_plan:
        return Plan(tasks=[Task(procedure.name)])
    from nbformat import v4

    # As it is: to compile the schema that it could be checked against takes a tenth of a second.
    notebook = fill_in(v4.reads(procedure.path.read_text(encoding="utf-8")), values)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for tag in ("parameters", "plan"):
        _run_cell(procedure, notebook.cells, cells_tagged(notebook.cells, tag)[0], namespace)
    plan = namespace.get("plan")
    if not isinstance(plan, Plan):
        raise CalibookError(
            f"{procedure.path}: the cell tagged `plan` must set `plan` to a "
            f"calibook.procedures.tasks.Plan, but it is {plan!r:.200}"
        )
    return plan


def _run_cell(procedure: Procedure, cells: list[Any], index: int, namespace: dict[str, Any]) -> None:
    number = sum(cell.cell_type == "code" for cell in cells[: index + 1])
    filename = f"<{procedure.path.name}, cell {number}>"
    source = cells[index].source
    # linecache lets a traceback show the cell's lines, as it does for a file.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    try:
        exec(compile(source, filename, "exec"), namespace)
    except CalibookError:
        raise
    except (Exception, SystemExit) as error:
        line = _line(error, filename)
        lines = source.splitlines()
        text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        raise CalibookError(
            f"{procedure.path}, cell {number}, line {line}: {type(error).__name__}: {error}\n    {text}"
        ) from error


def _line(error: BaseException, filename: str) -> int:
    """Line of the cell at which the error left it; 0 if the cell never ran."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if f.filename == filename), 0)
