"""Whatever is imported, at once or later, is declared: an installation for users has nothing else."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

TOP = Path(__file__).parents[1]
OPTIONAL = {"debugpy"}


def imported(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def sources() -> dict[str, str]:
    # The folders are linked into the package.
    files = [*(TOP / "src/calibook").rglob("*.py"), *(TOP / "cli").glob("*.py")]
    files += [*(TOP / "report_templates").glob("*.py")]
    found = {str(path): path.read_text() for path in files}
    for path in (TOP / "notebooks").glob("*/*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        found[str(path)] = "\n".join("".join(cell["source"]) for cell in cells)
    return found


def test_imports_are_declared():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=!~\[; ]", name)[0].lower() for name in project["dependencies"]}
    distributions = packages_distributions()
    unknown = {}
    for path, source in sources().items():
        for name in imported(source) - sys.stdlib_module_names - OPTIONAL - {"calibook"}:
            of = {other.lower().replace("_", "-") for other in distributions.get(name, [])}
            if not of & declared:
                unknown.setdefault(name, path)
    assert not unknown
