"""reStructuredText made by program: plain text kept plain, tables, headings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\*`_|<>\[\]])")
_CODE = re.compile(r"``?([^`\n]+?)``?")


def plain(text: object) -> str:
    """Text of which nothing is taken for markup, but `code` in backticks stays code."""
    parts = _CODE.split(str(text))
    made = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            made += _SPECIAL.sub(r"\\\1", part)
            continue
        # Markup must stand free; an escaped blank stands for nothing.
        before = "\\ " if parts[number - 1][-1:].strip(" \n([{-/") else ""
        after = "\\ " if parts[number + 1][:1].strip(" \n)]}-/.,:;!?") else ""
        made += f"{before}{code(part)}{after}"
    return made


def code(text: object) -> str:
    """Text as code; nothing for an empty one."""
    return f"``{text}``" if str(text).strip() else ""


def heading(text: str, underline: str = "=") -> str:
    """A heading."""
    return f"{text}\n{underline * len(text)}\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int] = ()) -> str:
    """A list-table; cells are reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: facts"]
    if widths:
        lines.append(f"   :widths: {' '.join(map(str, widths))}")
    lines.append("")
    for row in (columns, *rows):
        for number, cell in enumerate(row):
            lines.append(f"   {'*' if number == 0 else ' '} - {' '.join(cell.split())}".rstrip())
    return "\n".join(lines) + "\n"


def literal(text: str, language: str = "text") -> str:
    """A block of code or output."""
    body = "\n".join(f"   {line}".rstrip() for line in text.strip("\n").splitlines())
    return f".. code-block:: {language}\n\n{body}\n"
