"""Reports: executed notebooks and a verdict to PDF and HTML."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from calibook import files
from calibook.errors import CalibookError
from calibook.reports import latex
from calibook.reports.content import ReportContent
from calibook.reports.project import make_project

ENGINES = ("typst", "latex")
TIMEOUT = 3600  # seconds


class ReportFailed(CalibookError):
    """A report could not be built; the one before it is untouched."""

    cause = "report failed"


@dataclass(frozen=True)
class ReportFiles:
    """Where a report is, and what was not perfect about it.

    Parameters
    ----------
    pdf, html, log: the PDF, the first page of the HTML, what the engines said
    problems: warnings, one a line: a formula shown as source, a missing glyph
    """

    pdf: Path | None
    html: Path
    log: Path
    problems: list[str] = field(default_factory=list)


def build_report(
    content: ReportContent, folder: Path, engine: str = "typst", name: str = "report"
) -> ReportFiles:
    """Build `folder/<name>.pdf` and `folder/html/index.html`, both or none.

    Works without network. The report is made in a hidden folder below `folder`
    and then moved into place, so that a report which was there before stays
    until the new one is whole.

    Parameters
    ----------
    content: what the report says
    folder: where it goes; is made if needed
    engine: "typst" (nothing to install) or "latex" (LuaLaTeX must be installed)
    name: of the PDF and the log, without suffix

    Raises
    ------
    CalibookError: unknown engine, LaTeX is not installed, a notebook can't be read
    ReportFailed: no PDF or no HTML came out; the log says why
    """
    if engine not in ENGINES:
        raise CalibookError(f"unknown report engine {engine!r}; there are {' and '.join(ENGINES)}")
    if engine == "latex":
        latex.check_tools()
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f".{name}.*{files.PART_SUFFIX}"):  # of a build that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    work = folder / f".{name}.{os.getpid()}-{secrets.token_hex(4)}{files.PART_SUFFIX}"
    log = folder / f"{name}.log"
    try:
        make_project(content, work / "project")
        output, said, good = _run_sphinx(work / "project", engine)
        warnings = _warnings(said, work / "project", content)
        pdf: Path | None = work / "out" / engine / "report.pdf"
        if engine == "latex" and good:
            pdf, tex_log = latex.compile_tex(work / "out" / "latex")
            output, warnings = output + tex_log, warnings + latex.problems(tex_log)
        files.write_text(log, output.replace(str(work), "…"))
        html = work / "out" / "html"
        if not good or pdf is None or not pdf.exists() or not (html / "index.html").exists():
            raise ReportFailed(
                f"the report could not be built, see {log}: {(warnings or ['no message'])[-1]}"
            )
        _put_in_place(pdf, html, folder, name, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ReportFiles(folder / f"{name}.pdf", folder / "html" / "index.html", log, warnings)


def _run_sphinx(project: Path, engine: str) -> tuple[str, str, bool]:
    """Everything Sphinx said, what it said to stderr, and whether it succeeded."""
    command = [sys.executable, "-m", "calibook.reports.sphinx.run", str(project), engine, "html"]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "SOURCE_DATE_EPOCH": "0"}
    # Sphinx takes paths from its working folder; the project is the one that can't be in the way.
    done = subprocess.run(
        command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT
    )
    said = done.stderr.decode(errors="replace")
    return f"{done.stdout.decode(errors='replace')}\n{said}\n", said, done.returncode == 0


def _warnings(said: str, project: Path, content: ReportContent) -> list[str]:
    """Sphinx's warnings, each once, with the titles of chapters for the names of files."""
    titles = [" ".join(chapter.title.split()) for chapter in content.chapters]

    def name(match: re.Match[str]) -> str:
        return titles[int(match.group(1)) - 1]

    lines = (re.sub(r"\s+", " ", line).strip() for line in said.replace(f"{project}/", "").splitlines())
    named = (re.sub(r"chapter-(\d{4})\.ipynb(:\d+)?", name, line) for line in lines if line)
    return list(dict.fromkeys(line.replace("WARNING: ", "") for line in named))


def _put_in_place(pdf: Path, html: Path, folder: Path, name: str, work: Path) -> None:
    """Move PDF and HTML to their places; the old HTML gives way at the last moment."""
    old = folder / "html"
    if old.exists():
        old.replace(work / "old-html")
    html.replace(old)
    files.put_in_place(pdf, folder / f"{name}.pdf")
