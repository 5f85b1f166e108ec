"""The Sphinx project of one report: templates filled in, notebooks made fit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from calibook.errors import CalibookError
from calibook.reports import notebooks
from calibook.reports import text as text_tools
from calibook.reports.content import Chapter, ReportContent
from calibook.reports.first_page import first_page

THREADS = 2
LONGEST_WORD = 16  # characters that fit into the narrowest column of the first page in LaTeX
TEMPLATES = ("index.rst.jinja", "first_page.html.jinja", "first_page.tex.jinja")
_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "#$%&_"},
}


def make_project(content: ReportContent, folder: Path) -> None:
    """Write the Sphinx project into an empty folder.

    Raises
    ------
    CalibookError: a notebook is missing or is not a notebook
    """
    with as_file(files("calibook") / "report_templates") as templates:
        shutil.copytree(templates, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    names = [f"chapter-{number:04d}" for number in range(1, len(content.chapters) + 1)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_put_notebook, content.chapters, (folder / f"{name}.ipynb" for name in names)))
    chapters = [
        {
            "docname": name,
            "title": " ".join(text_tools.clean(chapter.title).split()),
            "kind": chapter.kind,
            "folder": str(Path(chapter.notebook).resolve().parent),
        }
        for name, chapter in zip(names, content.chapters, strict=True)
    ]
    # summaries are read first, whatever order they were given in
    chapters.sort(key=lambda chapter: chapter["kind"] == "task")
    page = first_page(content) | {"chapters": chapters}
    (folder / "report.json").write_text(json.dumps(page, ensure_ascii=False, indent=1), encoding="utf-8")
    for template in TEMPLATES:
        _fill(folder / template, page)


def _put_notebook(chapter: Chapter, target: Path) -> None:
    import nbformat

    if chapter.kind not in ("summary", "task"):
        raise CalibookError(f"chapter {chapter.title}: kind is {chapter.kind!r}, must be 'summary' or 'task'")
    try:
        notebook = nbformat.read(chapter.notebook, as_version=4)
    except OSError as error:
        raise CalibookError(
            f"chapter {chapter.title}: can't read {chapter.notebook}: {error.strerror}"
        ) from error
    except Exception as error:  # nbformat raises many kinds for broken files
        raise CalibookError(
            f"chapter {chapter.title}: {chapter.notebook} is not a notebook ({type(error).__name__})"
        ) from error
    fitted = notebooks.fit(notebook, chapter.title)
    target.write_text(json.dumps(fitted, ensure_ascii=False), encoding="utf-8")


def _fill(template: Path, page: dict[str, Any]) -> None:
    """Write a template's result beside it, without the suffix `.jinja`."""
    import jinja2

    options: dict[str, Any] = {
        "trim_blocks": True,
        "lstrip_blocks": True,
        "undefined": jinja2.StrictUndefined,
    }
    if template.name.endswith(".tex.jinja"):  # braces mean something else in TeX
        options |= _delimiters("<%", "%>", "<<", ">>", "<#", "#>")
        page = tex_escaped(page)
    elif template.name.endswith(".html.jinja"):
        options["autoescape"] = True
    environment = jinja2.Environment(**options)
    environment.filters["rst_escaped"] = rst_escaped
    made = environment.from_string(template.read_text(encoding="utf-8")).render(page)
    template.with_suffix("").write_text(made, encoding="utf-8")
    template.unlink()


def _delimiters(*marks: str) -> dict[str, str]:
    names: Iterable[str] = ("block", "variable", "comment")
    keys = (f"{name}_{end}_string" for name in names for end in ("start", "end"))
    return dict(zip(keys, marks, strict=True))


def tex_escaped(value: Any) -> Any:
    """Texts, in lists and dictionaries too, that TeX prints as they are, with places to break long words."""
    if isinstance(value, dict):
        return {key: tex_escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tex_escaped(item) for item in value]
    if not isinstance(value, str):
        return value
    return re.sub(
        r"[\\{}~^#$%&_]", lambda match: _TEX[match.group()], text_tools.breakable(value, LONGEST_WORD)
    )


def rst_escaped(value: str) -> str:
    """Text that reStructuredText takes as it is."""
    return re.sub(r"([^\w\s])", r"\\\1", value)
