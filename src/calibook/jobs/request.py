"""A request: a procedure, its values and its plan. Nothing is written until `write`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from calibook import files
from calibook.errors import BadInput, BadParameter
from calibook.jobs import checks
from calibook.jobs.keys import request_id, without_reserved
from calibook.jobs.software import software_versions
from calibook.jobs.work import PLAN_VERSION, Work, open_work
from calibook.procedures.notebook import Procedure
from calibook.procedures.planning import make_plan
from calibook.procedures.tasks import Plan


@dataclass(frozen=True)
class Request:
    """What somebody asks for.

    values: all parameters of the procedure, checked
    plan: what will be done; it lies in `folder`
    id: the same for the same notebook, values and plan
    folder: its work folder, which may not exist yet
    """

    procedure: Procedure
    notebook_hash: str
    values: Mapping[str, Any]
    plan: Plan
    id: str
    folder: Path

    @property
    def continues(self) -> bool:
        """Whether the work folder is there already, left by the same request."""
        return (self.folder / "plan.json").is_file()

    @cached_property
    def work(self) -> Work:
        """The request as it will lie on disk."""
        procedure = {
            "path": str(self.procedure.path.resolve()),
            "detector": self.procedure.detector,
            "name": self.procedure.name,
            "title": self.procedure.title,
            "blake3": self.notebook_hash,
        }
        content = {
            "version": PLAN_VERSION,
            "id": self.id,
            "procedure": procedure,
            "parameters": dict(self.values),
            "cwd": str(Path.cwd()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": software_versions(),
            "plan": self.plan.to_dict(),
        }
        return Work(self.folder, content)

    def write(self) -> Work:
        """Put plan and notebooks into the work folder, or find there what an earlier run left.

        Raises
        ------
        BadInput: the notebook was edited since it was planned
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        work = self.work
        if self.procedure.summary is not None:
            _copy(self.procedure.summary, work.summary_notebook)
        if self.continues:
            return open_work(self.folder)
        _copy(self.procedure.path, work.notebook)
        if files.blake3(work.notebook) != self.notebook_hash:
            raise BadInput(self.procedure.path, "was edited just now; give the command again")
        files.write_json(work.plan_file, work.content)  # last: where it is, all is
        return work


def make_request(
    procedure: Procedure,
    values: Mapping[str, Any],
    work_folder: Path | str | None = None,
    *,
    overwrite: bool = False,
) -> Request:
    """Plan a request and check that it can be done. Writes nothing.

    values: as `check_values` gives them
    work_folder: by default `<out_folder>/calibook/<detector>-<procedure>-<id>`,
        where out_folder is the parameter of that name, or else the current folder
    overwrite: outputs of other requests may be replaced

    Raises
    ------
    BadParameter: an output would overwrite an input or another request's output,
        a folder can't be written, the disk is too small, ...
    CalibookError: whatever the procedure's own plan raises
    """
    blake3 = procedure.blake3
    values = without_reserved(values)
    plan = make_plan(procedure, values)
    identity = request_id(blake3, values, plan)
    folder = Path(work_folder) if work_folder else _default_folder(procedure, values, identity)
    folder = folder.resolve()
    plan = Plan(**{**vars(plan), "folder": str(folder)})
    request = Request(procedure, blake3, values, plan, identity, folder)
    _refuse_other_request(request)
    checks.check_plan(plan)
    checks.check_folders(plan)
    if not overwrite:
        checks.refuse_outputs_of_others(request.work)
    checks.check_space(request.work)
    return request


def _default_folder(procedure: Procedure, values: Mapping[str, Any], identity: str) -> Path:
    name = "-".join(filter(None, [procedure.detector, procedure.name, identity[:8]]))
    return Path(str(values.get("out_folder") or ".")) / "calibook" / name


def _refuse_other_request(request: Request) -> None:
    if request.continues and open_work(request.folder).id != request.id:
        raise BadParameter(
            f"--work-folder: {request.folder} belongs to another request; choose another folder, "
            "or leave the option out"
        )


def _copy(source: Path, target: Path) -> None:
    with files.whole_file(target) as part:
        shutil.copyfile(source, part)
