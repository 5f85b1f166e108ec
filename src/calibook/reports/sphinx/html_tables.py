"""HTML tables (as pandas writes them) as docutils tables, which every builder can print."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docutils import nodes
from sphinx import addnodes

PAGE_CHARACTERS = 100  # of a table's small type that fit into the width of the page
COLUMN_GAP = 2  # characters between two columns
LONGEST_CELL = 60  # characters; longer cells wrap
LONG_TABLE = 30  # rows; longer tables go over pages

_NUMBER = re.compile(r"[-+−]?(\d[\d.,_]*)?(e[-+]?\d+|×10.*)?\s*(%|nan|NaN|inf)?")


@dataclass
class Grid:
    """A table of texts: `header` rows above, `index` columns on the left, all rows of one length."""

    rows: list[list[str]]
    header: int
    index: int

    @property
    def columns(self) -> int:
        return len(self.rows[0]) if self.rows else 0

    def width(self, column: int) -> int:
        """Characters that a column takes."""
        longest = max((len(row[column]) for row in self.rows), default=0)
        return min(longest, LONGEST_CELL) + COLUMN_GAP

    def is_numeric(self, column: int) -> bool:
        """Whether all cells below the header are numbers."""
        return are_numbers([row[column] for row in self.rows[self.header :]])

    def pieces(self, room: int = PAGE_CHARACTERS) -> list[Grid]:
        """The table cut between columns into tables that fit, each with the index columns."""
        index = list(range(self.index))
        taken = sum(map(self.width, index))
        chunks: list[list[int]] = [[]]
        used = taken
        for column in range(self.index, self.columns):
            if chunks[-1] and used + self.width(column) > room:
                chunks.append([])
                used = taken
            chunks[-1].append(column)
            used += self.width(column)
        return [
            Grid([[row[column] for column in index + chunk] for row in self.rows], self.header, self.index)
            for chunk in chunks
        ]


def are_numbers(cells: list[str]) -> bool:
    """Whether all cells are numbers, but for empty ones and dots."""
    filled = [cell for cell in cells if cell.strip(" .…")]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)


def tables(html: str) -> tuple[list[Grid], str]:
    """All tables in a piece of HTML, and the text around them."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    for unseen in soup(["style", "script"]):
        unseen.decompose()
    found = [table for table in soup("table") if not table.find_parent("table")]
    grids = [_grid(table) for table in found]
    for table in found:
        table.decompose()
    return [grid for grid in grids if grid.rows], " ".join(soup.get_text(" ").split())


def _grid(table) -> Grid:
    rows = [row for row in table("tr") if row.find_parent("table") is table]
    cells: dict[tuple[int, int], str] = {}
    heads = 0
    for y, row in enumerate(rows):
        found = [cell for cell in row(["td", "th"]) if cell.find_parent("tr") is row]
        heads += heads == y and all(cell.name == "th" for cell in found)
        x = 0
        for cell in found:
            while (y, x) in cells:
                x += 1
            wide, high = _span(cell, "colspan"), min(_span(cell, "rowspan"), len(rows) - y)
            for place in ((y + j, x + i) for j in range(high) for i in range(wide)):
                cells[place] = ""
            cells[y, x] = " ".join(cell.get_text(" ").split())
            x += wide
    width = max((x for _, x in cells), default=-1) + 1
    full = [[cells.get((y, x), "") for x in range(width)] for y in range(len(rows))]
    return Grid(full, min(heads, len(rows)), _index_columns(rows[heads:]))


def _span(cell, name: str) -> int:
    value = str(cell.get(name, "1"))
    return max(1, min(int(value), 1000)) if value.isdigit() else 1


def _index_columns(rows) -> int:
    """The number of `th` cells that begin the rows of the body (pandas' index)."""
    counts = []
    for row in rows:
        names = [cell.name for cell in row(["td", "th"])]
        counts.append(names.index("td") if "td" in names else 0)
    return max(counts, default=0)


def to_docutils(grid: Grid) -> list[nodes.Node]:
    """The table as docutils nodes, in pieces if it is too wide for the page."""
    made: list[nodes.Node] = []
    for piece in grid.pieces():
        numeric = [piece.is_numeric(column) for column in range(piece.columns)]
        # A fixed column specification for LaTeX, whose own choice stretches the table.
        wraps = any(len(cell) > LONGEST_CELL for row in piece.rows for cell in row)
        if not wraps:
            made.append(
                addnodes.tabular_col_spec(spec="{" + "".join("r" if n else "l" for n in numeric) + "}")
            )
        made.append(_table(piece))
    return made


def _table(grid: Grid) -> nodes.table:
    table = nodes.table(classes=["dataframe"] + (["longtable"] if len(grid.rows) > LONG_TABLE else []))
    group = nodes.tgroup(cols=grid.columns)
    table += group
    for column in range(grid.columns):
        group += nodes.colspec(colwidth=grid.width(column))
    if grid.header:
        group += nodes.thead("", *(_row(row, grid.columns) for row in grid.rows[: grid.header]))
    group += nodes.tbody("", *(_row(row, grid.index) for row in grid.rows[grid.header :]))
    return table


def _row(cells: list[str], strong: int) -> nodes.row:
    """A row whose first `strong` cells are headings."""
    row = nodes.row()
    for place, cell in enumerate(cells):
        text = nodes.strong(cell, cell) if place < strong and cell else nodes.Text(cell)
        row += nodes.entry("", nodes.paragraph("", "", text))
    return row
