"""Docutils nodes as Typst markup.

The writer says what a thing is, `report.typ` how it looks: each block becomes
a call of a function defined there. All text is written as string literals,
so that nothing in a notebook can be taken for Typst code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

from calibook.reports import text
from calibook.reports.sphinx import html_tables
from calibook.reports.sphinx.formulas import Formula, warn_of_source
from calibook.reports.sphinx.normalise import LEADS

POINTS_PER_PIXEL = 0.75  # 1/96 inch
WORD_IN_OUTPUT = 90  # characters after which a word may be broken

_logger = logging.getLogger(__name__)

# Things that are for other builders, or that a reader of the PDF can't use.
_UNSEEN = (
    addnodes.highlightlang,
    addnodes.index,
    addnodes.only,
    addnodes.tabular_col_spec,
    addnodes.toctree,
    nodes.Invisible,
    nodes.raw,
    nodes.system_message,
)

# Nodes that are nothing but their children.
_TRANSPARENT = (
    addnodes.compact_paragraph,
    addnodes.start_of_file,
    nodes.compound,
    nodes.container,
    nodes.document,
    nodes.inline,
    nodes.legend,
    nodes.line_block,
    nodes.problematic,
    nodes.target,
    nodes.title_reference,
)

_INLINE_CALLS = {
    nodes.emphasis: "emph",
    nodes.strong: "strong",
    nodes.subscript: "sub",
    nodes.superscript: "super",
}


def literal(value: str) -> str:
    """A Typst string."""
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + value.replace("\n", "\\n").replace("\r", "").replace("\t", "    ") + '"'


class TypstWriter:
    """Writes the document trees of a report.

    Parameters
    ----------
    formulas: Typst markup of each formula, None for those to be shown as TeX
    source_folder, root: folder that pictures are relative to; Typst's root folder
    """

    def __init__(self, formulas: Mapping[Formula, str | None], source_folder: Path, root: Path):
        self.formulas = formulas
        self.source_folder = source_folder
        self.root = root
        self.level = 0

    def write(self, node: nodes.Node) -> str:
        """Typst markup of a node and all below it."""
        if isinstance(node, nodes.Text):
            return self.text(node.astext())
        if isinstance(node, _UNSEEN) and not (isinstance(node, nodes.target) and node.children):
            return ""
        if isinstance(node, _TRANSPARENT):
            return self.children(node)
        for kind in type(node).__mro__:
            if kind in _INLINE_CALLS:
                return f"#{_INLINE_CALLS[kind]}[{self.children(node)}];"
            method = getattr(self, f"write_{kind.__name__}", None)
            if method:
                return method(node)
        _logger.warning("no way to print a %s; its text is shown", type(node).__name__, location=node)
        return self.children(node)

    def children(self, node: nodes.Node) -> str:
        """Markup of all children."""
        return "".join(map(self.write, node.children))

    def text(self, value: str) -> str:
        """Running text. The semicolon ends the expression, whatever follows."""
        value = re.sub(r"[ \t\n]+", " ", value)
        return f"#{literal(value)};" if value else ""

    def write_section(self, node: nodes.Element) -> str:
        self.level += 1
        body = self.children(node)
        self.level -= 1
        return body

    def write_title(self, node: nodes.Element) -> str:
        if not isinstance(node.parent, nodes.section):
            return f"\n#strong[{self.children(node)}]\n\n"
        return f"\n#heading(level: {max(1, self.level)})[{self.children(node)}]\n\n"

    def write_paragraph(self, node: nodes.Element) -> str:
        if "note" in node.get("classes", []):
            return f"\n#note[{self.children(node)}]\n\n"
        if LEADS in node.get("classes", []):
            return f"\n#leads[{self.children(node)}]\n\n"
        return f"{self.children(node)}\n\n"

    def write_line(self, node: nodes.Element) -> str:
        return f"{self.children(node)}#linebreak();\n"

    def write_rubric(self, node: nodes.Element) -> str:
        return f"#strong[{self.children(node)}]\n\n"

    def write_literal(self, node: nodes.Element) -> str:
        return f"#code({literal(node.astext())});"

    def write_literal_block(self, node: nodes.Element) -> str:
        lines = text.breakable(node.astext(), WORD_IN_OUTPUT)
        return f"\n#output({literal(lines)})\n\n"

    write_doctest_block = write_literal_block

    def write_math(self, node: nodes.Element) -> str:
        return self._formula(node, False)

    def write_math_block(self, node: nodes.Element) -> str:
        return f"\n{self._formula(node, True)}\n\n"

    def _formula(self, node: nodes.Element, display: bool) -> str:
        made = self.formulas.get((node.astext(), display))
        if made:
            return f"#formula[{made}];" if display else f"#[{made}];"
        warn_of_source(node)
        function = "output" if display else "code"
        return f"#{function}({literal(text.breakable(node.astext(), WORD_IN_OUTPUT))});"

    def write_bullet_list(self, node: nodes.Element) -> str:
        return f"\n#list({self._items(node)})\n\n"

    def write_enumerated_list(self, node: nodes.Element) -> str:
        return f"\n#enum(start: {int(node.get('start', 1))}, {self._items(node)})\n\n"

    def _items(self, node: nodes.Element) -> str:
        return ", ".join(f"[{self.children(item)}]" for item in node.children)

    def write_definition_list(self, node: nodes.Element) -> str:
        items = cast(list[nodes.Element], node.children)
        made = (
            f"terms.item([{self._of(item, nodes.term)}], [{self._of(item, nodes.definition)}])"
            for item in items
        )
        return f"\n#terms({', '.join(made)})\n\n"

    def write_field_list(self, node: nodes.Element) -> str:
        items = cast(list[nodes.Element], node.children)
        kinds = (nodes.field_name, nodes.field_body)
        made = (f"terms.item({', '.join(f'[{self._of(item, kind)}]' for kind in kinds)})" for item in items)
        return f"\n#terms({', '.join(made)})\n\n"

    def _of(self, node: nodes.Element, kind: type[nodes.Element]) -> str:
        """Markup inside those children that are of one kind."""
        return "".join(self.children(child) for child in node.children if isinstance(child, kind))

    def write_block_quote(self, node: nodes.Element) -> str:
        return f"\n#quote(block: true)[{self.children(node)}]\n\n"

    def write_attribution(self, node: nodes.Element) -> str:
        return f"— {self.children(node)}\n\n"

    def write_transition(self, node: nodes.Element) -> str:
        return "\n#transition()\n\n"

    def write_Admonition(self, node: nodes.Element) -> str:
        kind = "warning" if isinstance(node, nodes.warning | nodes.caution | nodes.danger) else "note"
        return f"\n#admonition({literal(kind)})[{self.children(node)}]\n\n"

    write_topic = write_sidebar = write_block_quote

    def write_reference(self, node: nodes.Element) -> str:
        target = node.get("refuri", "")
        if re.match(r"(https?://|mailto:)[^\s]+$", target):
            return f"#link({literal(target)})[{self.children(node)}];"
        return self.children(node)

    def write_footnote_reference(self, node: nodes.Element) -> str:
        return f"#super[{self.children(node)}];"

    def write_footnote(self, node: nodes.Element) -> str:
        label = "".join(child.astext() for child in node.children if isinstance(child, nodes.label))
        body = "".join(self.write(child) for child in node.children if not isinstance(child, nodes.label))
        return f"\n#note[#super[{self.text(label)}] {body}]\n\n"

    write_citation = write_footnote

    def write_image(self, node: nodes.Element) -> str:
        path = (self.source_folder / node["uri"]).resolve()
        width = _points(str(node.get("width", "")))
        where = "/" + path.relative_to(self.root).as_posix()
        call = f"picture({literal(where)}, width: {width})"
        if isinstance(node.parent, nodes.TextElement) and len(node.parent.children) > 1:
            return f"#box({call});"
        return f"\n#{call}\n\n"

    def write_figure(self, node: nodes.Element) -> str:
        caption = self._of(node, nodes.caption)
        body = "".join(self.write(child) for child in node.children if not isinstance(child, nodes.caption))
        return f"{body}\n#note[{caption}]\n\n"

    def write_table(self, node: nodes.Element) -> str:
        group = next(child for child in node.children if isinstance(child, nodes.tgroup))
        columns = [child for child in group.children if isinstance(child, nodes.colspec)]
        heads = [child for child in group.children if isinstance(child, nodes.thead)]
        bodies = [child for child in group.children if isinstance(child, nodes.tbody)]
        head, body = ("".join(self._row(row) for part in parts for row in part) for parts in (heads, bodies))
        alignment = ", ".join(map(literal, _alignment(columns, bodies)))
        weights = _weights(group, len(columns))
        title = "".join(self.children(child) for child in node.children if isinstance(child, nodes.title))
        return f"\n#grid-table(({alignment},), {weights}, title: [{title}], ({head}), ({body}))\n\n"

    def _row(self, row: nodes.Node) -> str:
        cells = []
        for entry in cast(list[nodes.Element], row.children):
            wide, high = entry.get("morecols", 0) + 1, entry.get("morerows", 0) + 1
            span = f"colspan: {wide}, rowspan: {high}, " if wide * high > 1 else ""
            cells.append(f"table.cell({span}[{self.children(entry).strip()}]), ")
        return "".join(cells)


def _points(width: str) -> str:
    """A width in pixels of 1/96 inch as Typst length, "auto" for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:px)?", width)
    return f"{float(match.group(1)) * POINTS_PER_PIXEL:g}pt" if match else "auto"


def _alignment(columns: list[nodes.colspec], bodies: list[nodes.tbody]) -> list[str]:
    """ "right" for columns of numbers, "left" for others."""
    cells: list[list[str]] = [[] for _ in columns]
    for body in bodies:
        for row in body.findall(nodes.row):
            for column, entry in zip(cells, row.children, strict=False):
                column.append(entry.astext())
    return ["right" if html_tables.are_numbers(column) else "left" for column in cells]


def _weights(group: nodes.Element, columns: int) -> str:
    """For tables wider than the page: the share of the width that each column gets; else auto."""
    longest = [1] * columns
    for row in group.findall(nodes.row):
        for place, entry in enumerate(row.children[:columns]):
            longest[place] = max(longest[place], len(entry.astext()))
    if sum(longest) + 2 * columns <= 100:
        return "auto"
    return "(" + ", ".join(str(min(max(n, 4), 60)) for n in longest) + ",)"
