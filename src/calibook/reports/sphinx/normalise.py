"""nbsphinx's document trees in plain docutils nodes.

nbsphinx writes its own nodes and raw HTML or LaTeX, which only its two target
formats understand. After these transforms a notebook is paragraphs, pictures,
tables, formulas and literal blocks, for every builder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import nbsphinx
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

from calibook.reports import text as text_tools
from calibook.reports.sphinx import html_tables

PDF_FORMATS = ("typst", "latex")
# What nbsphinx puts between cells.
_BETWEEN = (addnodes.only, addnodes.highlightlang, nodes.comment, nodes.raw, nodes.target)
LEADS = "leads"
"""Class of a paragraph that stays with what follows. For Typst; LaTeX is told on the spot."""
LONGEST_WORD = 24  # characters; longer words may be broken
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif"}

# HTML that runs something or loads something from elsewhere.
_NEEDS_MORE = re.compile(
    r"<(script|iframe|object|embed|link)\b|\bsrc(set)?\s*=\s*[\"']?\s*(https?:)?//", re.IGNORECASE
)

# Environments that stand alone in LaTeX, and what they are called inside a formula.
_ALONE = re.compile(r"\\(begin|end)\{(align|gather|equation|eqnarray|multline|flalign|alignat)\*?\}")
# Words inside a formula, where MathJax takes _ for a letter and TeX does not.
_TEXT = re.compile(r"(\\(?:text(?:rm|it|bf|sf|tt)?|mbox)\{)([^{}$]*)(?=\})")
_INNER = {"align": "aligned", "gather": "gathered", "eqnarray": "aligned", "flalign": "aligned"}


class FormulasAndPictures(SphinxTransform):
    """While reading: bare LaTeX environments become formulas; what comes from elsewhere is left out.

    A report is read without network, and from another folder than the notebook's.
    """

    default_priority = 300

    def apply(self) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if {"latex", "html"} <= set(raw.get("format", "").split()):
                _replace_raw_formula(raw)
            elif raw.get("format") == "html" and _NEEDS_MORE.search(raw.astext()):
                raw.parent.remove(raw)
        for formula in list(
            self.document.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))
        ):
            text = formula_text(formula.astext())
            formula["nowrap"] = formula["no-wrap"] = False
            formula.clear()
            formula += nodes.Text(text)
            formula.rawsource = text
        for image in list(self.document.findall(nodes.image)):
            self._settle(image)

    def _settle(self, image: nodes.image) -> None:
        uri = image["uri"]
        image.setdefault("alt", "figure")
        if uri.startswith("data:") or Path(self.env.srcdir, uri).is_file():
            return
        folder = self.config.calibook_notebook_folders.get(self.env.docname, "")
        beside = Path(folder, uri)
        if (
            folder
            and ".." not in beside.parts
            and beside.suffix.lower() in PICTURE_SUFFIXES
            and beside.is_file()
        ):
            name = f"{self.env.docname}-{beside.name}"
            shutil.copyfile(beside, Path(self.env.srcdir, name))
            image["uri"] = name
            return
        note = nodes.emphasis("", f"[picture not included: {uri}]")
        inline = isinstance(image.parent, nodes.TextElement)
        _replace(image, note if inline else nodes.paragraph("", "", note))


def _replace(node: nodes.Element, *others: nodes.Node) -> None:
    """Put other nodes in the place of a node, whose classes and names are forgotten."""
    parent = node.parent
    place = parent.index(node)
    parent[place : place + 1] = others


def formula_text(tex: str) -> str:
    """TeX of a formula that may stand inside any other: `aligned` for `align`, no numbers, no dollars."""
    tex = _ALONE.sub(_inner, tex.strip())
    tex = _TEXT.sub(lambda match: match.group(1) + re.sub(r"(?<!\\)([_#%&])", r"\\\1", match.group(2)), tex)
    tex = re.sub(r"\\(label|tag)\*?\{[^{}]*\}|\\(nonumber|notag)\b", "", tex)
    return re.sub(r"\n\s*\n", "\n", tex).replace("$$", "").strip()


def _inner(match: re.Match[str]) -> str:
    name = _INNER.get(match.group(2), "")
    return f"\\{match.group(1)}{{{name}}}" if name else ""


def _replace_raw_formula(raw: nodes.raw) -> None:
    """A formula for `\\begin{align}`; what only looks like TeX (`C:\\data`) is text."""
    text = raw.astext()
    if not text.lstrip().startswith("\\begin{"):
        _replace(raw, nodes.Text(text))
        return
    parent = raw.parent
    formula = formula_text(text)
    if isinstance(parent, nodes.paragraph) and parent.astext().strip() == text.strip():
        block = nodes.math_block(formula, formula, nowrap=False, number=None)
        block["no-wrap"] = False
        _replace(parent, block)
    else:
        _replace(raw, nodes.math(formula, formula))


class PlainNotebook(SphinxPostTransform):
    """For PDFs: no code, no stderr; outputs as pictures, tables and literal blocks, each on one page
    with the paragraph before it."""

    default_priority = 3  # before nodes of other formats are dropped
    formats = PDF_FORMATS

    def run(self, **kwargs) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if "nbinput" in cell["classes"]:
                cell.parent.remove(cell)
            elif "nboutput" in cell["classes"]:
                _replace(cell, *_plain_output(cell))
        for note in list(self.document.findall(nbsphinx.AdmonitionNode)):
            kind = nodes.warning if "warning" in note["classes"] else nodes.note
            _replace(note, kind("", *note.children))
        for words in list(self.document.findall(nodes.Text)):
            _make_breakable(words)
        for shown in list(self.document.findall(lambda node: isinstance(node, nodes.image | nodes.table))):
            _keep_with_paragraph_before(shown)


def _keep_with_paragraph_before(shown: nodes.Element) -> None:
    """What announces a picture or table is not left alone at the bottom of a page; headings never are."""
    place = shown.parent.index(shown)
    seen = (node for node in reversed(shown.parent.children[:place]) if not isinstance(node, _BETWEEN))
    before = next(seen, None)
    if isinstance(before, nodes.paragraph):
        before["classes"].append(LEADS)
        _replace(before, before, nodes.raw("", r"\nopagebreak", format="latex"))


def _make_breakable(words: nodes.Text) -> None:
    """Let long words be broken: no engine breaks them by itself, and they would leave the page."""
    around = words.parent
    if isinstance(around, nodes.literal_block | nodes.math | nodes.math_block | nodes.raw):
        return
    broken = text_tools.breakable(words.astext(), LONGEST_WORD)
    if broken != words.astext():
        words.parent.replace(words, nodes.Text(broken))


def _plain_output(cell: nodes.container) -> Iterable[nodes.Node]:
    for area in cell.findall(nbsphinx.CodeAreaNode):
        if area["stderr"]:
            continue
        for raw in area.findall(nodes.raw):
            if raw["format"] == "text":
                yield nodes.literal_block(raw.astext(), raw.astext(), language="none", classes=["output"])
    for fancy in cell.findall(nbsphinx.FancyOutputNode):
        for child in cast(nodes.Element, fancy.children[0]).children:
            if isinstance(child, nodes.raw):
                yield from _plain_html(child)
            else:
                if isinstance(child, nodes.image):
                    child["align"] = "center"
                yield child


def _plain_html(raw: nodes.raw) -> Iterable[nodes.Node]:
    if raw["format"] != "html":
        return
    grids, rest = html_tables.tables(raw.astext())
    for grid in grids:
        yield from html_tables.to_docutils(grid)
    if rest:
        yield nodes.paragraph("", "", nodes.emphasis(rest, rest), classes=["note"])


class FoldedCode(SphinxPostTransform):
    """For HTML: code is folded away, one click from the reader."""

    default_priority = 3
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if "nbinput" in cell["classes"]:
                opening = nodes.raw("", '<details class="code"><summary>Code</summary>', format="html")
                _replace(cell, opening, cell, nodes.raw("", "</details>", format="html"))
        for only in list(self.document.findall(addnodes.only)):
            if only.children and "prompt" in cast(nodes.Element, only.children[0]).get("classes", []):
                only.parent.remove(only)


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the transforms known to Sphinx."""
    app.add_config_value("calibook_notebook_folders", {}, "env")
    app.add_transform(FormulasAndPictures)
    app.add_post_transform(PlainNotebook)
    app.add_post_transform(FoldedCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
