"""Is a notebook fit to be a procedure? Problems in words, for its author."""

from __future__ import annotations

import ast
import builtins
import symtable
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibook.errors import BadInput, CalibookError
from calibook.procedures.grammar import GrammarError, parse_parameter_cell
from calibook.procedures.notebook import HOW_TO_ADD, cells_tagged, read_cells, read_procedure
from calibook.procedures.tasks import RESERVED

LONGEST_FUNCTION = 12
# Names that IPython puts into a notebook.
_KNOWN = {*dir(builtins), "__name__", "get_ipython", "display", "In", "Out", "_"}
# Scopes that run where they stand; a function's body runs later.
_RUN_IN_PLACE = {"genexpr", "listcomp", "setcomp", "dictcomp"}


def check_notebook(path: Path | str, run: bool = False) -> list[str]:
    """Problems of a notebook, in words; an empty list if it is fit.

    run: also run it from top to bottom with its defaults, in a folder that is removed afterwards
    """
    path = Path(path)
    try:
        cells = read_cells(path)
    except BadInput as error:
        return [error.why]
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    problems = [*_layout(path), *_parameters(cells), *_stored(code), *_code(code)]
    if run and not problems:
        problems.extend(_run(path))
    return list(dict.fromkeys(problems))


def _layout(path: Path) -> Iterator[str]:
    try:
        procedure = read_procedure(path)
    except BadInput as error:
        # _parameters says the same of a comment that doesn't parse, so not twice.
        if not isinstance(error.__cause__, GrammarError):
            yield error.why
    else:
        if not procedure.title:
            yield "no title: a text cell must begin with a heading like `# Correct a run`"
        elif not procedure.about:
            yield "no text below the title: say in a sentence what the procedure does"


def _parameters(cells: list[dict[str, Any]]) -> Iterator[str]:
    tagged = cells_tagged(cells, "parameters")
    if not tagged:
        yield HOW_TO_ADD
        return
    try:
        parameters = parse_parameter_cell(cells[tagged[0]]["source"])
    except GrammarError as error:
        yield str(error)
        return
    for parameter in parameters.values():
        if not parameter.meaning:
            yield f"parameter {parameter.name}: no meaning; write `# what it is [unit]` behind it"
        if parameter.name in RESERVED and (parameter.type, parameter.default) != ("str", ""):
            yield f'parameter {parameter.name}: calibook fills it in, so it must be `str = ""`'


def _stored(code: list[dict[str, Any]]) -> Iterator[str]:
    for number, cell in enumerate(code, 1):
        if cell.get("outputs"):
            yield f"cell {number}: has stored outputs; clear them before saving"
        elif cell.get("execution_count") is not None:
            yield f"cell {number}: has an execution count; clear the outputs before saving"


def _code(code: list[dict[str, Any]]) -> Iterator[str]:
    """Syntax, long functions, and names that nothing above defines."""
    defined = set(_KNOWN)
    later: dict[str, tuple[int, int]] = {}
    for number, cell in enumerate(code, 1):
        source = _plain_python(cell["source"])
        try:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
            tree = compile(source, f"<cell {number}>", "exec", flags)
            compile(source, f"<cell {number}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except (SyntaxError, ValueError) as error:
            yield f"cell {number}, line {getattr(error, 'lineno', None) or 1}: syntax error: {error.args[0]}"
            return
        yield from (f"cell {number}, {problem}" for problem in _long_functions(tree))
        for statement in tree.body:
            if isinstance(statement, ast.ImportFrom) and any(a.name == "*" for a in statement.names):
                yield f"cell {number}, line {statement.lineno}: import * hides where names come from"
                return
            made, needed, needed_later = _names(statement)
            for name in sorted(needed - defined):
                yield f"cell {number}, line {statement.lineno}: {name} is used but nothing above defines it"
            defined |= made
            for name in needed_later:
                later.setdefault(name, (number, statement.lineno))
    for name, (number, line) in later.items():
        if name not in defined:
            yield f"cell {number}, line {line}: a function uses {name}, which nothing defines"


def _plain_python(source: str) -> str:
    """The cell with IPython's magic commands turned into calls, line for line."""
    if not any(line.lstrip().startswith(("%", "!", "?")) for line in source.splitlines()):
        return source
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(source)


def _long_functions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield (
                    f"line {node.lineno}: function {node.name} has {length} lines, more than "
                    f"{LONGEST_FUNCTION}; it belongs into the library"
                )


def _names(statement: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Names that a statement defines, needs at once, and needs when its functions are called."""
    # A scope that stands alone, so that what the statement itself defines counts as defined in it.
    source = ast.unparse(ast.Module([statement], []))
    if any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for node in ast.walk(statement)):
        source = f"async def _cell():\n{_indented(source)}"
        table = symtable.symtable(source, "<cell>", "exec").get_children()[0]
    else:
        table = symtable.symtable(source, "<cell>", "exec")
    made: set[str] = set()
    needed: set[str] = set()
    later: set[str] = set()
    # Elsewhere (a loop, a with block) a name may well be set before it is used.
    is_assignment = isinstance(statement, ast.Assign | ast.AnnAssign)
    for symbol in table.get_symbols():
        is_made = symbol.is_assigned() or symbol.is_imported()
        if is_made:
            made.add(symbol.get_name())
        if symbol.is_referenced() and (is_assignment or not is_made):
            needed.add(symbol.get_name())
    _nested(table, needed, later, at_once=True)
    if not is_assignment:
        needed -= made
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        needed.add(statement.target.id)
    return made, needed, later


def _indented(source: str) -> str:
    return "".join(f"    {line}\n" for line in source.splitlines())


def _nested(table: symtable.SymbolTable, needed: set[str], later: set[str], at_once: bool) -> None:
    """Add the global names that the scopes inside `table` use."""
    for child in table.get_children():
        in_place = at_once and (child.get_type() == "class" or child.get_name() in _RUN_IN_PLACE)
        for symbol in child.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                (needed if in_place else later).add(symbol.get_name())
        _nested(child, needed, later, in_place)


def _run(path: Path) -> Iterator[str]:
    from calibook.procedures.execute import execute

    with tempfile.TemporaryDirectory(prefix="calibook-check-") as name:
        folder = Path(name)
        try:
            execute(path.resolve(), {}, folder / "executed.ipynb", folder / "log.txt", folder)
        except CalibookError as error:
            yield f"does not run: {error}"
