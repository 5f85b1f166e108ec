"""A page for each procedure: its story, the table of its parameters, then the notebook itself.

The notebooks are copied as they are; nothing is executed. A detector or a
notebook that is added appears here by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rest import code, heading, plain, table

from calibook.procedures.notebook import Procedure, find_procedures, read_procedure
from calibook.procedures.parameters import Parameter


def contents() -> dict[str, str]:
    """The pages of all procedures and their summaries, and the list of them."""
    pages: dict[str, str] = {}
    listed = []
    for procedure in find_procedures():
        name = f"{procedure.detector}-{procedure.name}"
        pages[f"procedures/{name}.ipynb"] = _page(procedure.path, procedure, procedure.detector)
        listed.append(f"   _generated/procedures/{name}")
        if procedure.summary:
            pages[f"procedures/{name}-summary.ipynb"] = _page(
                procedure.summary, read_procedure(procedure.summary), procedure.detector
            )
            listed.append(f"   {procedure.title}: summary <_generated/procedures/{name}-summary>")
    pages["procedures.inc"] = "\n".join([".. toctree::", "   :maxdepth: 1", "", *listed, ""])
    return pages


def _page(path: Path, procedure: Procedure, detector: str) -> str:
    """The notebook with a reStructuredText cell behind its first one, which tells the story."""
    content = json.loads(path.read_text(encoding="utf-8"))
    lines = _intro(path, procedure, detector).splitlines(keepends=True)
    raw = {"cell_type": "raw", "id": "parameters", "metadata": {"raw_mimetype": "text/restructuredtext"}}
    content["cells"].insert(1, raw | {"source": lines})
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)


def _intro(path: Path, procedure: Procedure, detector: str) -> str:
    is_summary = path.name.endswith(".summary.ipynb")
    where = f"This page is the notebook {code(f'notebooks/{detector}/{path.name}')}."
    if is_summary:
        use = "calibook runs it once, after all tasks, with the values that the procedure got.\n"
        parts = [use, where]
    else:
        command = code(f"calibook {detector} {procedure.name}")
        use = f"On the command line: {command}. {where}\n"
        parts = [
            heading("Parameters", "-"),
            use,
            parameter_table(procedure.user_parameters),
            heading("The notebook", "-"),
        ]
    return "\n".join(parts)


def parameter_table(parameters: dict[str, Parameter]) -> str:
    """Name, type, unit, what is allowed, default and meaning of each parameter, a table for each group."""
    groups: dict[str, list[Parameter]] = {}
    for parameter in parameters.values():
        groups.setdefault(parameter.group, []).append(parameter)
    columns = ["name", "type", "unit", "allowed", "default", "meaning"]
    parts = []
    for group, members in groups.items():
        if group:
            parts.append(f".. rubric:: {plain(group)}\n")
        rows = [_row(parameter) for parameter in members]
        parts.append(table(columns, rows, [19, 10, 6, 26, 12, 27]))
    return "\n".join(parts)


def _row(parameter: Parameter) -> list[str]:
    allowed = ", ".join(code(choice) for choice in parameter.choices) or plain(parameter.range)
    default = "required" if parameter.required else code(_written(parameter.default)) or "empty"
    name, kind = code(parameter.name), plain(parameter.type)
    return [name, kind, plain(parameter.unit), allowed, default, plain(parameter.meaning)]


def _written(default: Any) -> str:
    """The default as the notebook has it."""
    return default if isinstance(default, str) else repr(default)
