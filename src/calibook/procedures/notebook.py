"""Procedures: notebooks with a parameter cell, found in the package or anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibook import files
from calibook.errors import BadInput
from calibook.procedures.grammar import GrammarError, parse_parameter_cell
from calibook.procedures.parameters import Parameter, nearest
from calibook.procedures.tasks import RESERVED

__all__ = [
    "Procedure",
    "broken_procedures",
    "cells_tagged",
    "find_procedures",
    "nearest",
    "notebooks_root",
    "read_cells",
    "read_procedure",
]

SUMMARY_SUFFIX = ".summary.ipynb"
HOW_TO_ADD = (
    "no code cell has the tag `parameters`; add one as the first code cell, with lines like "
    "`run: int = 0  # run number; required`, and give it the tag `parameters` in its metadata"
)


@dataclass(frozen=True)
class Procedure:
    """A notebook as a function of its parameters.

    detector: name of its folder in the package's notebooks, "" for a notebook elsewhere
    name: name of the file without .ipynb
    title, about: first heading, and the first sentence of the text below it
    parameters: all that the cell declares, in that order
    has_plan: it has a code cell with the tag `plan`
    """

    path: Path
    detector: str
    name: str
    title: str
    about: str
    parameters: dict[str, Parameter] = field(default_factory=dict)
    has_plan: bool = False

    @property
    def blake3(self) -> str:
        """BLAKE3 of the notebook file as it is now."""
        return files.blake3(self.path)

    @property
    def summary(self) -> Path | None:
        """The notebook `<name>.summary.ipynb` beside this one, which runs once after all tasks."""
        path = self.path.with_name(self.name + SUMMARY_SUFFIX)
        return path if path.is_file() else None

    @property
    def notebooks(self) -> list[Path]:
        """The notebook, and its summary if there is one."""
        return [self.path, *([self.summary] if self.summary else [])]

    @property
    def user_parameters(self) -> dict[str, Parameter]:
        """The parameters that a user gives: all but those which calibook fills in."""
        return {name: p for name, p in self.parameters.items() if name not in RESERVED}


def notebooks_root() -> Path:
    """The folder of the package's notebooks, `<detector>/<procedure>.ipynb`."""
    return Path(__file__).parent.parent / "notebooks"


def read_procedure(path: Path | str) -> Procedure:
    """The procedure of a notebook file. Raises BadInput, which says what to mend."""
    path = Path(path)
    folder = path.resolve().parent
    inside = folder.parent == notebooks_root().resolve()
    return _read(path, folder.name if inside else "")


def find_procedures(root: Path | None = None) -> list[Procedure]:
    """All procedures of `<root>/<detector>/<name>.ipynb`, sorted by detector and name.

    Summaries are left out, and so are notebooks that can't be read: those are
    in `broken_procedures`.
    """
    found = [content for _, content in _scan(root) if isinstance(content, Procedure)]
    return sorted(found, key=lambda procedure: (procedure.detector, procedure.name))


def broken_procedures(root: Path | None = None) -> dict[Path, str]:
    """Notebooks under `root` that are no procedures, with the reason of each."""
    return {path: content for path, content in _scan(root) if isinstance(content, str)}


def _scan(root: Path | None) -> Iterator[tuple[Path, Procedure | str]]:
    for path in sorted((root or notebooks_root()).glob("*/*.ipynb")):
        hidden = path.name.startswith(".") or path.parent.name.startswith(".")
        if hidden or path.name.endswith(SUMMARY_SUFFIX):
            continue
        try:
            yield path, _read(path, path.parent.name)
        except BadInput as error:
            yield path, error.why


def read_cells(path: Path) -> list[dict[str, Any]]:
    """Cells of a notebook, each with its source as one text.

    Read with json alone, because nbformat takes longer to import than all
    notebooks take to read. Raises BadInput.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise BadInput(path, f"is not a notebook: {error}") from None
    if not isinstance(content, dict) or content.get("nbformat") != 4:
        raise BadInput(path, "is not a notebook of format 4; open and save it with Jupyter")
    cells = content.get("cells")
    try:
        return [{**cell, "source": "".join(cell["source"])} for cell in cells or []]
    except (TypeError, KeyError):
        raise BadInput(path, "is not a notebook: a cell has no source") from None


def cells_tagged(cells: list[dict[str, Any]], tag: str) -> list[int]:
    """Indices of the code cells that carry a tag."""
    return [
        index
        for index, cell in enumerate(cells)
        if cell.get("cell_type") == "code" and tag in cell.get("metadata", {}).get("tags", [])
    ]


def _read(path: Path, detector: str) -> Procedure:
    cells = read_cells(path)
    code = [index for index, cell in enumerate(cells) if cell.get("cell_type") == "code"]
    tagged, plans = cells_tagged(cells, "parameters"), cells_tagged(cells, "plan")
    if not tagged:
        raise BadInput(path, HOW_TO_ADD)
    if tagged != code[:1]:
        raise BadInput(path, "the tag `parameters` belongs to the first code cell, and to no other")
    if len(plans) > 1:
        raise BadInput(path, "more than one cell has the tag `plan`")
    try:
        parameters = parse_parameter_cell(cells[tagged[0]]["source"])
    except GrammarError as error:
        raise BadInput(path, str(error)) from error
    title, about = _title_and_about(cells)
    return Procedure(path, detector, path.name.removesuffix(".ipynb"), title, about, parameters, bool(plans))


def _title_and_about(cells: list[dict[str, Any]]) -> tuple[str, str]:
    """First heading, and the first sentence of the paragraph that follows it."""
    text = "\n\n".join(cell["source"] for cell in cells if cell.get("cell_type") == "markdown")
    heading = re.search(r"^#+[ \t]+(.+?)[ \t#]*$", text, re.MULTILINE)
    if heading is None:
        return "", ""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text[heading.end() :]))
    below = next(filter(None, paragraphs), "")
    if below.startswith(("#", "$$", "|", "```", "!")):
        below = ""
    sentence = re.match(r".+?[.!?](?=\s+[A-Z]|$)", below)
    return _without_markup(heading[1]), _without_markup(sentence[0] if sentence else below)


def _without_markup(text: str) -> str:
    """Markdown as plain words: links become their text, emphasis and code marks go."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("**", "").replace("*", "").replace("`", "")
