"""A Sphinx builder for PDF by Typst, whose compiler and fonts come in a wheel: no network, no TeX."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import Any

import matplotlib
import typst
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.errors import SphinxError
from sphinx.util import logging

from calibook.reports.sphinx.formulas import Formula, convert, in_document
from calibook.reports.sphinx.typst_writer import TypstWriter

MAIN = "report.main.typ"
_logger = logging.getLogger(__name__)


class TypstBuilder(Builder):
    """Writes all chapters into one Typst file and compiles it to a PDF."""

    name = "typst"
    format = "typst"
    epilog = "The PDF is in %(outdir)s."
    allow_parallel = True
    supported_image_types = ["image/png", "image/jpeg", "image/gif"]  # noqa: RUF012  (Sphinx's type)

    def get_outdated_docs(self) -> str:
        """One file holds all chapters, so that all are outdated."""
        return "all chapters"

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        """Links between chapters are not followed in the PDF."""
        return ""

    def write_documents(self, docnames: Set[str]) -> None:
        """Write and compile the report."""
        source = Path(self.srcdir)
        root = source.parent.resolve()
        chapters = json.loads((source / "report.json").read_text())["chapters"]
        trees = {chapter["docname"]: self._resolved(chapter["docname"]) for chapter in chapters}
        found = [formula for tree in trees.values() for formula in in_document(tree)]
        formulas = self._without_failing(convert(found, "typst"))
        writer = TypstWriter(formulas, source.resolve(), root)
        parts = ['#import "report.typ": *\n#show: report.with(json("report.json"))\n']
        appendix = False
        for chapter in chapters:
            if chapter["kind"] == "task" and not appendix:
                parts.append("\n#show: appendix\n")
                appendix = True
            parts.append(writer.write(trees[chapter["docname"]]))
        parts.append("\n#end-matter()\n")
        main = source / MAIN
        main.write_text("".join(parts), encoding="utf-8")
        self._compile(main, root)

    def _resolved(self, docname: str):
        return self.env.get_and_resolve_doctree(docname, self, tags=self.tags)

    def _compile(self, main: Path, root: Path) -> None:
        try:
            pdf, warnings = typst.compile_with_warnings(main, root=root, format="pdf", **_fonts())
        except typst.TypstError as error:
            raise SphinxError(f"typst: {error.diagnostic or error.message}") from error
        for warning in warnings:
            _logger.warning("typst: %s", warning.message)
        Path(self.outdir, "report.pdf").write_bytes(pdf)

    def _without_failing(self, formulas: dict[Formula, str | None]) -> dict[Formula, str | None]:
        """Formulas without those that Typst refuses: one bad formula must not cost the PDF."""
        good = {formula: made for formula, made in formulas.items() if made}
        if _compiles("\n\n".join(good.values())):
            return formulas
        return {formula: made if made and _compiles(made) else None for formula, made in formulas.items()}


def _compiles(markup: str) -> bool:
    try:
        typst.compile(markup.encode(), format="pdf", ignore_system_fonts=True)
    except typst.TypstError:
        return False
    return True


def _fonts() -> dict[str, Any]:
    """The wheels' fonts alone: a report looks the same on every machine."""
    return {
        "ignore_system_fonts": True,
        "font_paths": [str(Path(matplotlib.get_data_path(), "fonts", "ttf"))],
    }


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the builder known to Sphinx."""
    app.add_builder(TypstBuilder)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
