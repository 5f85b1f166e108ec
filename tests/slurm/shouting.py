"""A small procedure: each task turns a text file into capitals. The text says what else happens."""

from __future__ import annotations

from pathlib import Path

import nbformat

PARAMETERS = """
in_folder: str = ""     # folder of the text files; required
out_folder: str = ""    # folder of the results; required
delay: float = 0.0      # pause before a result is complete [s]; >= 0
note: str = ""          # any text
plan_file: str = ""     # plan of the request
task: str = ""          # task to do, empty for all
"""

PLAN = """
from pathlib import Path
from calibook.procedures.tasks import Plan, Task, load_plan

def make_plan():
    files = sorted(path.resolve() for path in Path(in_folder).glob("*.txt"))
    out = Path(out_folder).resolve()
    return Plan([Task(p.stem, inputs=[str(p)], outputs=[str(out / f"{p.stem}.h5")]) for p in files])

plan = load_plan(plan_file) if plan_file else make_plan()
"""

WORK = """
import os, time
from calibook.errors import BadInput
from calibook.files import whole_file

for item in plan.select(task):
    source, text = Path(item.inputs[0]), Path(item.inputs[0]).read_text()
    word, _, number = text.partition(" ")
    print("working on", item.name, "with", os.environ["CALIBOOK_THREADS"], "threads")
    if word == "bad":
        raise BadInput(source, "has a bad word", "/text", 7)
    if word == "eat":        # so many MB, held until the job is killed if it may not have them
        held = bytearray(int(number) << 20)
        held[::4096] = bytes(len(held[::4096]))
        time.sleep(60 if int(number) >= int(os.environ["SLURM_MEM_PER_NODE"]) else 1)
    if word == "sleep":      # as long as the file says, the first time only
        seen = source.with_suffix(".seen")
        first = not seen.exists()
        seen.touch()
        time.sleep(float(number) if first else 0)
    if word == "wait":       # until somebody says go
        while not source.with_suffix(".go").exists():
            time.sleep(0.1)
    with whole_file(item.outputs[0]) as part, open(part, "w") as f:
        f.write(text.upper()[:1])
        f.flush()
        time.sleep(delay)
        f.write(text.upper()[1:] * 1000)
"""

SUMMARY = """
from pathlib import Path
from calibook.procedures.tasks import load_plan
from calibook.reports.verdict import Figure, Verdict

plan = load_plan(plan_file)
there = [task for task in plan.tasks if Path(task.outputs[0]).exists()]
Verdict([Figure("shouted", len(there), fail=(1, None))]).write(f"{plan.folder}/verdict.json")
"""


def result(text: str) -> str:
    """What a task makes of a text."""
    return text.upper()[:1] + text.upper()[1:] * 1000


def write_book(folder: Path) -> Path:
    """The procedure's notebook, with its summary beside it."""
    _write(folder / "shout.summary.ipynb", ("parameters", 'plan_file: str = ""  # plan'), ("", SUMMARY))
    return _write(folder / "shout.ipynb", ("parameters", PARAMETERS), ("plan", PLAN), ("", WORK))


def _write(path: Path, *cells: tuple[str, str]) -> Path:
    node = nbformat.v4.new_notebook()
    node.cells = [nbformat.v4.new_markdown_cell("# Shouting\n\nMakes letters large.")]
    for tag, source in cells:
        metadata = {"tags": [tag]} if tag else {}
        node.cells.append(nbformat.v4.new_code_cell(source.strip(), metadata=metadata))
    for number, cell in enumerate(node.cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(node, path)
    return path
