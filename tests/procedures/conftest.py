"""Notebooks made for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

MakeNotebook = Callable[..., Path]


@pytest.fixture
def make_notebook(tmp_path: Path) -> MakeNotebook:
    """make_notebook(parameters, *code cells, plan=None, title=..., name=...) writes a notebook."""

    def make(
        parameters: str | None = "run: int = 1  # run number",
        *cells: str,
        plan: str | None = None,
        title: str = "# Add numbers\n\nAdds what it is given. Nothing more.",
        name: str = "add.ipynb",
    ) -> Path:
        v4 = nbformat.v4
        content = [v4.new_markdown_cell(title)]
        if parameters is not None:
            content.append(v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        if plan is not None:
            content.append(v4.new_code_cell(plan, metadata={"tags": ["plan"]}))
        content += [v4.new_code_cell(cell) for cell in cells]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(v4.new_notebook(cells=content), path)
        return path

    return make
