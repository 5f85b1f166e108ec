"""The process that runs Sphinx: `python -m calibook.reports.sphinx.run PROJECT BUILDER...`

A process of its own, because Sphinx and docutils keep state, fork, and must
not meet the caller's threads. All builders share what was read from the
notebooks. Output and warnings go to stdout and stderr; the exit code is 1
when a builder failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

PROCESSES = 2


def main(project: Path, builders: list[str]) -> int:
    """Build the project into `../out/<builder>` with each builder."""
    from sphinx.util.console import nocolor

    nocolor()
    return max(_build(project, builder) for builder in builders)


def _build(project: Path, builder: str) -> int:
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    folder = project.parent
    # What extensions register with docutils is forgotten afterwards, for the next builder to register again.
    with patch_docutils(project), docutils_namespace():
        app = Sphinx(
            project,
            project,
            folder / "out" / builder,
            folder / "doctrees",
            builder,
            status=sys.stdout,
            warning=sys.stderr,
            parallel=PROCESSES,
        )
        app.build()
    return min(app.statuscode, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
