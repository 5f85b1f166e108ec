"""What a procedure will do: the plan that its `plan` cell makes.

A notebook's cell with the tag `plan` defines a variable `plan`: a `Plan` made
of metadata alone. calibook runs that cell before anything else, saves the plan
as `plan.json` in the work folder, and runs the notebook once per task with the
parameters `plan_file` and `task` filled in. By hand both are empty: the cell
plans anew and the notebook does all tasks itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibook.errors import BadParameter
from calibook.files import read_json

# Parameters that calibook fills in; nobody gives them on the command line.
RESERVED = ("plan_file", "task")


@dataclass(frozen=True)
class Task:
    """One run of the notebook.

    name: unique in the plan, a file name, e.g. "JNGFR01-S00000"
    about: what the notebook needs to know to do it (JSON values)
    inputs, outputs: absolute paths; the task is done when all outputs are there
    constants: indices into the plan's constants
    memory_mb, seconds: expected need; 0 if unknown
    """

    name: str
    about: dict[str, Any] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)
    memory_mb: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """All tasks of a request, and what they have in common.

    facts: what is worked on, in the order in which a report shows it
    conditions: operating conditions as people read them, {name: value with unit}
    constants: pinned constants as dictionaries (`constants.Constant.to_dict`)
    problems: files that can't be used, {path: why}; the rest is still done
    space_mb: what the outputs will take on disk
    """

    tasks: list[Task]
    facts: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    constants: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    space_mb: int = 0
    folder: str = ""

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if len(set(names)) != len(names):
            raise ValueError("two tasks of a plan have the same name")

    def select(self, name: str = "") -> Sequence[Task]:
        """The named task alone, or all tasks for an empty name."""
        if not name:
            return self.tasks
        found = [task for task in self.tasks if task.name == name]
        if not found:
            raise BadParameter(f"task={name!r}: the plan has no such task")
        return found

    def constants_of(self, task: Task) -> list[dict[str, Any]]:
        """The pinned constants of a task."""
        return [self.constants[i] for i in task.constants]

    @property
    def folder_path(self) -> Path:
        """The work folder."""
        return Path(self.folder)

    def task_folder(self, task: Task | str) -> Path:
        """Where a task leaves its results, executed notebook, record and log."""
        name = task if isinstance(task, str) else task.name
        return Path(f"{self.folder}/tasks/{name}")

    def to_dict(self) -> dict[str, Any]:
        """JSON form; the folder is left out, it is where the plan lies. Shares the plan's own lists."""
        # Not asdict(), which copies all values: it takes a second for thousands of tasks.
        content = {name: value for name, value in vars(self).items() if name != "folder"}
        return {**content, "tasks": [dict(vars(task)) for task in self.tasks]}


def plan_from_dict(content: dict[str, Any], folder: str | Path) -> Plan:
    """The plan that `to_dict` wrote, lying in `folder`."""
    tasks = [Task(**task) for task in content["tasks"]]
    return Plan(**{**content, "tasks": tasks, "folder": str(folder)})


def load_plan(plan_file: str | Path) -> Plan:
    """The plan of a work folder's `plan.json`."""
    path = Path(plan_file).resolve()
    return plan_from_dict(read_json(path)["plan"], path.parent)


def all_outputs(tasks: Iterable[Task]) -> list[str]:
    """Outputs of several tasks."""
    return [path for task in tasks for path in task.outputs]
