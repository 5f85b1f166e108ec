"""Docstrings are plain text: shown as such, with their lists of arguments as lists.

A paragraph whose lines begin with `name: ` is such a list; indented lines go on.
Backticks make code, `>>>` an example, a ruled table stays as typed. Nothing else
is taken for markup, so that no formula or asterisk in a docstring is ever lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rest import plain
from sphinx.application import Sphinx

_NAME = r"`?[*\w][\w.*/{}]*`?"
_ITEM = re.compile(rf"(?P<names>{_NAME}(?:, {_NAME})*): (?P<text>\S.*)")
_RULE = re.compile(r"-{3,}|={3,}")


def convert(lines: list[str]) -> list[str]:
    """A docstring in reStructuredText."""
    paragraphs = list(_paragraphs(lines))
    if any(re.match(r"\s*={3,}", line) for line in lines):
        return _with_table(lines)
    made: list[str] = []
    for paragraph in paragraphs:
        made += [*_converted(paragraph), ""]
    return made


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line.rstrip())
        elif paragraph:
            yield paragraph
            paragraph = []


def _converted(paragraph: list[str]) -> Iterator[str]:
    if len(paragraph) > 1 and _RULE.fullmatch(paragraph[1].strip()):
        yield from (f".. rubric:: {plain(paragraph[0])}", "")
        paragraph = paragraph[2:]
    if paragraph and paragraph[0].lstrip().startswith(">>>"):
        yield from (".. code-block:: python", "", *(f"   {line}" for line in paragraph))
    elif paragraph and all(line.startswith(" ") for line in paragraph):
        yield from (".. code-block:: text", "", *(f"   {line}" for line in paragraph))
    else:
        yield from _text(paragraph)


def _text(paragraph: list[str]) -> Iterator[str]:
    """Lines of text, in which `name: meaning` begins an entry of a list."""
    text: list[str] = []
    in_list = False
    for line in paragraph:
        found = _ITEM.fullmatch(line)
        if found and not (text and not in_list and not _ends(text[-1])):
            yield from _flushed(text, in_list)
            text, in_list = [line], True
        elif in_list and line.startswith(" "):
            text.append(line.strip())
        else:
            if in_list:
                yield from _flushed(text, True)
                text, in_list = [], False
            text.append(line.strip())
    yield from _flushed(text, in_list)


def _ends(line: str) -> bool:
    """Whether a list may begin after this line."""
    return line.endswith((".", ":", ",", ")"))


def _flushed(text: list[str], in_list: bool) -> Iterator[str]:
    if not text:
        return
    if in_list:
        found = _ITEM.fullmatch(text[0])
        assert found is not None
        names = plain(found["names"].replace("`", ""))
        yield from (f"- **{names}**: {plain(' '.join([found['text'], *text[1:]]))}", "")
    else:
        yield from (plain(" ".join(text)), "")


def _with_table(lines: list[str]) -> list[str]:
    """Text up to the first rule, then all as typed."""
    first = next(i for i, line in enumerate(lines) if re.match(r"\s*={3,}", line))
    return [
        *convert(lines[:first]),
        ".. code-block:: text",
        "",
        *(f"   {line}" for line in lines[first:]),
        "",
    ]


def _process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = convert(lines)


def _skip(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Compiled functions are not for callers: the function above them checks what they are given."""
    return True if type(thing).__module__.startswith("numba.") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
