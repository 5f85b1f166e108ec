"""TeX formulas in other languages, by one call of pandoc for all of them.

Typst has its own language for formulas; browsers show MathML without any
script. One process per formula would cost more than the rest of the report.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

Formula = tuple[str, bool]  # TeX, whether on lines of its own

_API = [1, 23, 1]  # of pandoc's JSON; any pandoc 3 reads it
_MARK = {"typst": "// formula 7f3a", "html": "<!-- formula 7f3a -->"}
_SUCCESS = {"typst": "$", "html": "<p><math"}


def convert(formulas: Iterable[Formula], language: str) -> dict[Formula, str | None]:
    """Formulas in "typst" markup or as "html" with MathML; None for those that are no valid TeX."""
    wanted = list(dict.fromkeys(formulas))
    if not wanted:
        return {}
    mark = {"t": "RawBlock", "c": [language, _MARK[language]]}
    blocks: list[dict] = []
    for tex, display in wanted:
        kind = {"t": "DisplayMath" if display else "InlineMath"}
        blocks += [mark, {"t": "Para", "c": [{"t": "Math", "c": [kind, tex]}]}]
    document = json.dumps({"pandoc-api-version": _API, "meta": {}, "blocks": blocks})
    command = ["pandoc", "-f", "json", "-t", language, "--mathml", "--wrap=preserve", "--eol=lf"]
    done = subprocess.run(command, input=document.encode(), capture_output=True, check=True)
    parts = [part.strip() for part in done.stdout.decode().split(_MARK[language])[1:]]
    good = _SUCCESS[language]
    return {
        formula: part if part.startswith(good) else None for formula, part in zip(wanted, parts, strict=True)
    }


def in_document(document: nodes.Node) -> list[Formula]:
    """All formulas of a document."""
    inline = [(node.astext(), False) for node in document.findall(nodes.math)]
    return inline + [(node.astext(), True) for node in document.findall(nodes.math_block)]


def _prepare(app: Sphinx, builder: Builder) -> None:
    """Convert the formulas of all documents before HTML is written."""
    known: dict[Formula, str | None] = {}
    if isinstance(builder, StandaloneHTMLBuilder):
        found = [formula for name in app.env.found_docs for formula in in_document(app.env.get_doctree(name))]
        known = convert(found, "html")
    builder.calibook_formulas = known  # type: ignore[attr-defined]


def _visit(translator: HTML5Translator, node: nodes.Element, display: bool) -> None:
    tex = node.astext()
    made = translator.builder.calibook_formulas.get((tex, display))  # type: ignore[attr-defined]
    if made is None:
        warn_of_source(node)
        made = f'<code class="bad-formula">{translator.encode(tex)}</code>'
    else:
        made = made.removeprefix("<p>").removesuffix("</p>")
    if display:
        made = f'<div class="math">{made}</div>'
    translator.body.append(made)
    raise nodes.SkipNode


def warn_of_source(node: nodes.Element) -> None:
    """Say that a formula could not be set."""
    first = node.astext().strip().split("\n")[0]
    logging.getLogger(__name__).warning("formula shown as TeX source: %s", first[:80], location=node)


def visit_inline(translator: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula within a line."""
    _visit(translator, node, False)


def visit_display(translator: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula on lines of its own."""
    _visit(translator, node, True)


class OnlyGoodFormulas(SphinxPostTransform):
    """For LaTeX: formulas that are no valid TeX become literals, for TeX would lose its way after them."""

    default_priority = 10
    formats = ("latex",)

    def run(self, **kwargs) -> None:
        """Replace the bad formulas of a document."""
        made = convert(in_document(self.document), "html")
        for kind, literal in ((nodes.math, nodes.literal), (nodes.math_block, nodes.literal_block)):
            for node in list(self.document.findall(kind)):
                text = node.astext()
                if made[text, kind is nodes.math_block] is None:
                    warn_of_source(node)
                    node.parent.replace(node, literal(text, text, language="none"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer MathML as a way to show formulas in HTML."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.add_post_transform(OnlyGoodFormulas)
    app.connect("write-started", _prepare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
