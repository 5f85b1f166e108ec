"""Writes what follows from the code into `_generated`: tables, pages of procedures, API pages, a picture.

Files are written whole and only if they changed, so that Sphinx reads again what
changed alone, and two builds at once don't meet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import api_pages
import changelog
import commands
import figures
import journey
import notebook_pages
import tables
from sphinx.application import Sphinx

from calibook.files import write_text


def contents() -> dict[str, str]:
    """All generated files, {path in `_generated`: text}."""
    return {
        **tables.contents(),
        **figures.contents(),
        **notebook_pages.contents(),
        **api_pages.contents(),
        **commands.contents(),
        **changelog.contents(),
        **journey.contents(),
    }


def write(app: Sphinx) -> None:
    """Bring `_generated` up to date."""
    folder = Path(app.srcdir) / "_generated"
    wanted = {folder / name: text for name, text in contents().items()}
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted and not path.name.startswith("."):
            path.unlink()
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
