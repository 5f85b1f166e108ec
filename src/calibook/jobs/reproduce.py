"""Make a file again from its record."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from calibook import files
from calibook.errors import CalibookError
from calibook.jobs.local import task_command
from calibook.jobs.record import read_record
from calibook.jobs.software import software_versions
from calibook.jobs.state import task_status
from calibook.jobs.work import PLAN_VERSION, Work
from calibook.procedures.notebook import notebooks_root
from calibook.procedures.tasks import Plan, Task

CheckConstant = Callable[[Mapping[str, Any]], Any]
"""Called with a pinned constant; raises CalibookError if its content is not what was pinned."""


@dataclass(frozen=True)
class Reproduction:
    """What came of making a file again.

    identical: the file made now has the bytes that the record says
    differences: why not, a line each
    notes: what else is not as it was: versions, the file now in its place
    placed: the file was gone and has been put back
    """

    output: Path
    identical: bool
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    placed: bool = False


def reproduce(record: Path | str, check_constant: CheckConstant) -> Reproduction:
    """Make the output of a record again, if everything it was made from is still the same.

    record: path of the record, or of the output beside it

    Raises
    ------
    BadParameter: it is no record
    """
    content = read_record(record)
    output = Path(content["output"])
    notebook, differences = _find_notebook(content["procedure"])
    differences += _changed_inputs(content) + _changed_constants(content, check_constant)
    notes = _changed_software(content["software"])
    if notebook is None or differences:
        return Reproduction(output, False, differences, notes)
    with _folder_beside(output) as folder:
        made, failure = _make(content, notebook, folder)
        if failure:
            return Reproduction(output, False, [failure], notes)
        if files.blake3(made) != content["blake3"]:
            return Reproduction(output, False, [f"{output.name}: its bytes differ"], notes)
        return _put_back(content, made, notes)


def _find_notebook(procedure: Mapping[str, str]) -> tuple[Path | None, list[str]]:
    """The procedure's notebook with the recorded content: at its path, or in this package."""
    path = Path(procedure["path"])
    packaged = notebooks_root() / procedure["detector"] / path.name
    there = [p for p in ([path, packaged] if procedure["detector"] else [path]) if p.is_file()]
    for candidate in there:
        if files.blake3(candidate) == procedure["blake3"]:
            return candidate, []
    if there:
        return None, [f"notebook {there[0]}: it was changed since"]
    return None, [f"notebook {path}: it is gone"]


def _changed_inputs(content: Mapping[str, Any]) -> list[str]:
    found = []
    for entry in content["inputs"]:
        path = Path(entry["path"])
        try:
            if path.stat().st_size != entry["size"] or files.blake3(path) != entry["blake3"]:
                found.append(f"input {path}: its content was changed since")
        except OSError as error:
            found.append(f"input {path}: {error.strerror}")
    return found


def _changed_constants(content: Mapping[str, Any], check_constant: CheckConstant) -> list[str]:
    found = []
    for constant in content["constants"]:
        try:
            check_constant(constant)
        except (CalibookError, OSError, KeyError) as error:
            what = " ".join(str(constant[key]) for key in ("calibration", "pdu", "id") if key in constant)
            found.append(f"constant {what}: {error}")
    return found


def _changed_software(then: Mapping[str, str]) -> list[str]:
    now = software_versions()
    return [
        f"{name}: {now.get(name, 'absent')} now, {then.get(name, 'absent')} then"
        for name in {**then, **now}
        if now.get(name) != then.get(name)
    ]


@contextmanager
def _folder_beside(output: Path) -> Iterator[Path]:
    """A hidden folder beside the output (elsewhere, if that can't be written), gone afterwards."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=".calibook-reproduce-", dir=output.parent)
    except OSError:
        folder = tempfile.mkdtemp(prefix="calibook-reproduce-")
    try:
        yield Path(folder).resolve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(content: Mapping[str, Any], notebook: Path, folder: Path) -> tuple[Path, str]:
    """Run the task with its outputs in `folder`; the new file, and why there is none."""
    work, made = _one_task(content, folder)
    shutil.copyfile(notebook, work.notebook)
    files.write_json(work.plan_file, work.content)
    task = work.plan.tasks[0]
    subprocess.run(task_command(work, task), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    status = task_status(work, task)
    return made, "" if status.state == "done" else f"it could not be made: {status.state}: {status.cause}"


def _one_task(content: Mapping[str, Any], folder: Path) -> tuple[Work, Path]:
    """A request of this task alone that writes into `folder`, and where the recorded output will be."""
    then = Task(**content["task"])
    out_folder = Path(content["cwd"], content["parameters"].get("out_folder") or ".").resolve()
    moved = _moved(then, out_folder, folder / "outputs")
    parameters = dict(content["parameters"])
    if "out_folder" in parameters:
        parameters["out_folder"] = str(folder / "outputs")
    task = Task(
        name=then.name,
        about=_replaced(then.about, moved),
        inputs=then.inputs,
        outputs=[moved[output] for output in then.outputs],
        constants=list(range(len(content["constants"]))),
    )
    plan = Plan([task], content["facts"], content["conditions"], content["constants"])
    request = {
        "version": PLAN_VERSION,
        "id": content["task key"],
        "procedure": content["procedure"],
        "parameters": parameters,
        "cwd": content["cwd"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": software_versions(),
        "plan": plan.to_dict(),
    }
    return Work(folder, request), Path(moved[content["output"]])


def _moved(task: Task, base: Path, folder: Path) -> dict[str, str]:
    """New path of each output: as below `base`, so in `folder`; or by its number."""
    found = {}
    for number, output in enumerate(task.outputs):
        inside = Path(output).is_relative_to(base)
        place = Path(output).relative_to(base) if inside else Path(str(number), Path(output).name)
        found[output] = str(folder / place)
    return found


def _replaced(value: Any, moved: Mapping[str, str]) -> Any:
    """JSON values in which every text that is an output's path has become the new path."""
    if isinstance(value, dict):
        return {key: _replaced(item, moved) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, moved) for item in value]
    return moved.get(value, value) if isinstance(value, str) else value


def _put_back(content: Mapping[str, Any], made: Path, notes: list[str]) -> Reproduction:
    """Put the new file where the output was, if nothing is there now."""
    output = Path(content["output"])
    if output.exists():
        if files.blake3(output) != content["blake3"]:
            notes = [
                *notes,
                f"{output} has other bytes than its record says; remove it and reproduce again",
            ]
        return Reproduction(output, True, [], notes)
    with files.whole_file(output) as part:
        shutil.move(made, part)
    return Reproduction(output, True, [], notes, placed=True)
