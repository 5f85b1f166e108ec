"""The changelog as a page."""

from __future__ import annotations

from pathlib import Path

import pypandoc

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def contents() -> dict[str, str]:
    """CHANGELOG.md in reStructuredText."""
    text = pypandoc.convert_file(str(CHANGELOG), "rst", format="gfm", extra_args=["--wrap=preserve"])
    return {"changelog.rst": text.replace("\r\n", "\n")}
