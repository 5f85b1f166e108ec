"""The work folder of a request.

plan.json                     the request: what will be done, with what
<procedure>.ipynb             copies of the notebooks, the ones that run
<procedure>.summary.ipynb
tasks/<task>/                 executed notebook, log, record, small results
tasks/<task>/attempts/<n>/    state of each attempt
summary/                      executed summary
report.pdf, html/, verdict.json
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from calibook import files
from calibook.errors import BadParameter
from calibook.jobs.keys import TaskKeys
from calibook.procedures.tasks import Plan, Task, plan_from_dict

PLAN_VERSION = 2


@dataclass(frozen=True)
class Work:
    """A request as it lies on disk.

    folder: absolute path of the work folder
    content: what `plan.json` holds
    """

    folder: Path
    content: Mapping[str, Any]

    @cached_property
    def plan(self) -> Plan:
        """The plan, lying in this folder."""
        return plan_from_dict(self.content["plan"], self.folder)

    @property
    def id(self) -> str:
        """Identity of the request."""
        return self.content["id"]

    @property
    def plan_file(self) -> Path:
        """What the notebooks get as `plan_file`."""
        return self.folder / "plan.json"

    @property
    def procedure(self) -> Mapping[str, str]:
        """path, detector, name, title and blake3 of the procedure's notebook."""
        return self.content["procedure"]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values of the request's parameters."""
        return self.content["parameters"]

    @property
    def cwd(self) -> Path:
        """Where the request was made: relative paths mean the same in a task as in the plan.

        The work folder, if that place is gone.
        """
        place = Path(self.content["cwd"])
        return place if place.is_dir() else self.folder

    @property
    def notebook(self) -> Path:
        """The copy of the procedure's notebook that tasks run."""
        return self.folder / f"{self.procedure['name']}.ipynb"

    @property
    def summary_notebook(self) -> Path:
        """The copy of the summary notebook; not every procedure has one."""
        return self.folder / f"{self.procedure['name']}.summary.ipynb"

    @property
    def notebooks(self) -> list[Path]:
        """Both, those that there are."""
        return [path for path in (self.notebook, self.summary_notebook) if path.is_file()]

    def executed(self, task: Task | str) -> Path:
        """The executed notebook of a task."""
        return self.plan.task_folder(task) / self.notebook.name

    def log(self, task: Task | str) -> Path:
        """The log of all attempts of a task."""
        return self.plan.task_folder(task) / "log.txt"

    def key(self, task: Task) -> str:
        """Identity of a task."""
        return self._keys.of(task)

    @cached_property
    def _keys(self) -> TaskKeys:
        return TaskKeys(self.procedure["blake3"], self.parameters, self.plan)


def open_work(folder: Path | str) -> Work:
    """The request in a work folder (its `plan.json` is taken too).

    Raises
    ------
    BadParameter: there is no request in the folder, or calibook can't read it
    """
    path = Path(folder).absolute()
    path = path.parent if path.name == "plan.json" else path
    plan_file = path / "plan.json"
    if not plan_file.is_file():
        raise BadParameter(f"{path} is no work folder: it holds no plan.json")
    try:
        content = files.read_json(plan_file)
        version = content["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadParameter(f"{plan_file} can't be read as a plan: {error!r}") from error
    if version != PLAN_VERSION:
        raise BadParameter(
            f"{plan_file} has version {version}, this calibook reads version {PLAN_VERSION}; "
            "give the command again to plan anew"
        )
    return Work(path.resolve(), content)
