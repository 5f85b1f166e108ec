"""A notebook with values filled in. Values become literals, never text that could run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from calibook.errors import BadParameter, CalibookError
from calibook.procedures.grammar import parse_parameter_cell
from calibook.procedures.notebook import HOW_TO_ADD, cells_tagged
from calibook.procedures.parameters import nearest


def fill_in(notebook_node: Any, values: Mapping[str, Any]) -> Any:
    """A copy of a notebook whose parameter cell has these values.

    Types and comments in the cell stay, and so do the defaults of parameters
    without a value. The new cell is parsed again and compared, so that it holds
    the declared names with literals equal to the values and nothing else.

    notebook_node: nbformat.NotebookNode with a cell tagged `parameters`
    Raises BadParameter for an undeclared name or a value that isn't allowed.
    """
    from nbparameterise import extract_parameters, parameter_values, replace_definitions

    tagged = cells_tagged(notebook_node.cells, "parameters")
    if not tagged:
        raise BadParameter(HOW_TO_ADD)
    declared = parse_parameter_cell(notebook_node.cells[tagged[0]].source)
    for name in values:
        if name not in declared:
            close = nearest(name, declared)
            raise BadParameter(f"{name}: the notebook has no such parameter; the nearest is {close}")
    # A required parameter may stay empty here: when somebody runs the notebook by hand.
    literals = {
        name: parameter.default if name not in values else parameter.check(values[name])
        for name, parameter in declared.items()
    }
    found = extract_parameters(notebook_node, lang="python", tag="parameters")
    filled = replace_definitions(
        notebook_node, parameter_values(found, literals, new="error"), lang="python", tag="parameters"
    )
    if cell_literals(filled.cells[tagged[0]].source) != {k: (type(v), v) for k, v in literals.items()}:
        raise CalibookError("the values can't be written into the notebook's parameter cell")
    return filled


def cell_literals(source: str) -> dict[str, tuple[type, Any]]:
    """Type and value of each name that a cell of literal assignments sets.

    Raises ValueError if the cell has anything else in it.
    """
    found: dict[str, tuple[type, Any]] = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            raise ValueError(f"not an assignment of a literal: {ast.unparse(statement)}")
        if statement.value is None or statement.target.id in found:
            raise ValueError(f"not one assignment of a literal: {ast.unparse(statement)}")
        value = ast.literal_eval(statement.value)
        found[statement.target.id] = (type(value), value)
    return found
