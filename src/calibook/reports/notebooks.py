"""Executed notebooks made fit for a report.

nbsphinx reads what these functions return. Each output is reduced to the one
form that prints best, so that HTML, Typst and LaTeX all show the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from html import unescape
from typing import TYPE_CHECKING, Any

from calibook.reports import figures, text

if TYPE_CHECKING:
    from nbformat import NotebookNode

# Tags with which Jupyter's tools hide a cell, or its code, or its outputs.
REMOVE_CELL = {"remove-cell", "remove_cell", "hide-cell", "hide_cell"}
REMOVE_INPUT = {"remove-input", "remove_input", "hide-input", "hide_input"}
REMOVE_OUTPUT = {"remove-output", "remove_output", "hide-output", "hide_output"}

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/svg+xml", "application/pdf")

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)\s*$")


def fit(notebook: NotebookNode, title: str) -> NotebookNode:
    """A copy of an executed notebook that reads well as a chapter.

    Parameters
    ----------
    notebook: executed notebook, format 4; is not changed
    title: heading of the chapter, in place of the notebook's own
    """
    from nbformat.v4 import new_markdown_cell, new_notebook

    metadata = {
        key: notebook.metadata[key] for key in ("kernelspec", "language_info") if key in notebook.metadata
    }
    cells = [_fit_cell(cell) for cell in notebook.cells if _is_shown(cell)]
    _make_sections(cells)
    heading = new_markdown_cell(f"# {_markdown_escaped(text.clean(title))}", id="title")
    return new_notebook(cells=[heading, *cells], metadata=metadata)


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _is_shown(cell: NotebookNode) -> bool:
    if cell.cell_type == "raw":  # meant for nbconvert, in a language of its own
        return False
    return not (_tags(cell) & REMOVE_CELL or cell.metadata.get("nbsphinx") == "hidden")


def _fit_cell(cell: NotebookNode) -> NotebookNode:
    from nbformat.v4 import new_code_cell, new_markdown_cell

    if cell.cell_type == "markdown":
        fitted = new_markdown_cell(text.clean(cell.source), id=cell.get("id", "cell"))
        pictures = {name: _fit_attachment(bundle) for name, bundle in cell.get("attachments", {}).items()}
        fitted.attachments = {name: bundle for name, bundle in pictures.items() if bundle}
        return fitted
    outputs = [] if _tags(cell) & REMOVE_OUTPUT else _fit_outputs(cell.outputs)
    fitted = new_code_cell(text.clean(cell.source), id=cell.get("id", "cell"), outputs=outputs)
    fitted.execution_count = cell.execution_count
    if _tags(cell) & REMOVE_INPUT or cell.metadata.get("transient", {}).get("remove_source"):
        fitted.metadata["transient"] = {"remove_source": True}  # the only such mark that nbsphinx honours
    return fitted


def _fit_attachment(bundle: dict[str, Any]) -> dict[str, str]:
    for mime in PICTURES:
        if mime in bundle:
            try:
                picture = figures.fit(_decoded(bundle[mime], mime), mime)
            except ValueError:
                return {}
            return {picture.mime: base64.b64encode(picture.content).decode()}
    return {}


def _make_sections(cells: list[NotebookNode]) -> None:
    """Drop the notebook's own title and make every other heading a section of the chapter."""
    seen: list[int] = []
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _sections(cell.source, seen)


def _sections(source: str, seen: list[int]) -> str:
    """Markdown with headings from level 2 on, without jumps; `seen` holds the levels met so far."""
    lines, fence = [], ""
    for line in _without_underlined_headings(source).split("\n"):
        mark = _FENCE.match(line)
        if mark and (not fence or line.strip().startswith(fence)):
            fence = "" if fence else mark.group(1)
        found = None if fence else _HEADING.match(line)
        if found and len(found.group(1)) == 1 and not seen:
            seen.append(1)  # the title
            continue
        if found:
            level = min(max(2, len(found.group(1))), seen[-1] + 1 if seen else 2)
            seen.append(level)
            line = f"{'#' * level} {found.group(2)}"
        lines.append(line if fence else _with_line_breaks(line))
    return "\n".join(lines)


def _with_line_breaks(line: str) -> str:
    """A line of Markdown with its own line breaks for `<br>`, which nbsphinx drops; none inside tables."""
    return re.sub(r"<br\s*/?>", " " if "|" in line else "  \n", line, flags=re.IGNORECASE)


def _without_underlined_headings(source: str) -> str:
    """Markdown with `# title` in place of a line underlined with = or -."""
    lines: list[str] = []
    for line in source.split("\n"):
        under = _UNDERLINE.match(line)
        above = lines[-1].strip() if lines else ""
        alone = len(lines) < 2 or not lines[-2].strip()
        if under and above and alone and not re.match(r"[#>|`~*+-]", above):
            lines[-1] = f"{'#' if under.group(1)[0] == '=' else '##'} {above}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _markdown_escaped(title: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#$^~|!&])", r"\\\1", " ".join(title.split()))


def _fit_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    fitted: list[NotebookNode] = []
    for output in outputs:
        made = _fit_output(output)
        if made is None:
            continue
        last = fitted[-1] if fitted else None
        if last and made.output_type == last.output_type == "stream" and made.name == last.name:
            last.text += made.text
        else:
            fitted.append(made)
    for output in fitted:
        if output.output_type == "stream":  # cleaned as a whole: a progress bar comes in pieces
            output.text = text.trim(text.clean(output.text).strip("\n"))
    return [output for output in fitted if output.output_type != "stream" or output.text.strip()]


def _fit_output(output: NotebookNode) -> NotebookNode | None:
    from nbformat.v4 import new_output

    if output.output_type == "stream":
        return new_output("stream", name=output.name, text=_joined(output.text))
    if output.output_type == "error":
        lines = text.trim(text.clean("\n".join(output.traceback)))
        lines = lines if lines.strip() else text.clean(f"{output.ename}: {output.evalue}")
        return new_output("error", ename=output.ename, evalue=output.evalue, traceback=lines.split("\n"))
    mime, content, width = _best_form(output.data, output.get("metadata", {}))
    if not mime:
        return None
    metadata = {mime: {"width": width}} if width else {}
    return new_output("display_data", data={mime: content}, metadata=metadata)


def _best_form(data: dict[str, Any], metadata: dict[str, Any]) -> tuple[str, str, int | None]:
    """(MIME type, content, width of a picture) of the one form that every engine can show.

    Tables first, then formulas, pictures, prose, plain text. A form that runs a
    script or loads a picture is never taken: the report must stand without network.
    """
    html = _joined(data.get("text/html", ""))
    if "<table" in html and not re.search(r"<(script|iframe|object|embed)\b", html, re.IGNORECASE):
        return "text/html", re.sub(r"<(img|link)\b[^>]*>", "", text.clean(html)), None
    formula = _joined(data.get("text/latex", ""))
    if formula and "tabular" not in formula:
        return "text/markdown", f"$$\n{_bare_formula(text.clean(formula))}\n$$", None
    for mime in PICTURES:
        if mime in data:
            try:
                wanted = metadata.get(mime, {}).get("width")
                picture = figures.fit(_decoded(data[mime], mime), mime, wanted)
            except ValueError as error:
                return "text/plain", f"[{error}]", None
            return picture.mime, base64.b64encode(picture.content).decode(), picture.width
    if "text/markdown" in data:
        return "text/markdown", text.clean(_joined(data["text/markdown"])), None
    if any("widget-view" in mime for mime in data):  # a live progress bar: nothing to print
        return "", "", None
    plain = _joined(data.get("text/plain", "")) or unescape(re.sub(r"<[^>]*>", "", html))
    plain = text.trim(text.clean(plain)).strip("\n")
    return ("text/plain", plain, None) if plain.strip() else ("", "", None)


def _bare_formula(formula: str) -> str:
    """A formula without its dollars, \\[ \\] and empty lines, all of which end it too early."""
    formula = formula.strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\[", r"\]"), (r"\(", r"\)")):
        if formula.startswith(opening) and formula.endswith(closing) and len(formula) > 2 * len(opening):
            formula = formula[len(opening) : -len(closing)].strip()
            break
    return re.sub(r"\n\s*\n", "\n", formula).replace("$$", "")


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)


def _decoded(content: Any, mime: str) -> bytes:
    content = _joined(content)
    if mime == "image/svg+xml":
        return content.encode()
    try:
        return base64.b64decode(content)
    except binascii.Error as error:
        raise ValueError(f"a picture that can't be read: {error}") from error
