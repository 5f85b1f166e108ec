"""The certificate beside each output: from what it was made, and with what.

A record says everything that `calibook reproduce` needs to make the file again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibook import files
from calibook.errors import BadParameter
from calibook.jobs.hashes import HashedFile
from calibook.jobs.software import software_versions
from calibook.jobs.work import Work
from calibook.procedures.tasks import Task

if TYPE_CHECKING:
    from calibook.jobs.state import Attempt

RECORD_VERSION = 2
TASK_RECORD = "record.json"


def record_path(output: Path | str) -> Path:
    """Where the record of an output lies: `A.h5` has `A.record.json`, `A.png` has `A.png.record.json`."""
    path = Path(output)
    stem = path.name.removesuffix(".h5") if path.name != ".h5" else path.name
    return path.with_name(f"{stem}.record.json")


# What the task's own record has, beside the outputs.
_WHETHER_DONE = ("version", "task key", "inputs", "attempts")
# What a record tells of each attempt at its task, so that it explains itself without the work folder.
_HISTORY = ("number", "state", "cause", "host", "node", "job", "cpus", "memory_limit_mb", "job_memory_mb")


def write_records(
    work: Work,
    task: Task,
    inputs: Sequence[HashedFile],
    made: Sequence[HashedFile],
    seconds: float,
    peak_memory_mb: float,
    attempts: Iterable[Attempt],
    number: int,
) -> None:
    """Write a record beside each output, then the task's own: from then on the task is done.

    inputs, made: files that went into the task, and its outputs
    attempts: those at the task so far; number: which of them made the outputs
    """
    plan = work.plan
    common = {
        "version": RECORD_VERSION,
        "task key": work.key(task),
        "procedure": dict(work.procedure),
        "parameters": dict(work.parameters),
        "cwd": str(work.cwd),
        "task": asdict(task),
        "facts": plan.facts,
        "conditions": plan.conditions,
        "inputs": [asdict(entry) for entry in inputs],
        "constants": plan.constants_of(task),
        "software": software_versions(),
        "host": socket.gethostname(),
        "seconds": round(seconds, 3),
        "peak memory [MB]": round(peak_memory_mb, 1),
        "attempts": number,
        "history": [_history(a, number) for a in attempts],
    }
    outputs = []
    for file in made:
        entry = {"output": file.path, "size": file.size, "blake3": file.blake3}
        files.write_json(record_path(file.path), {**entry, **common})
        outputs.append(entry)
    # Read for every task by whoever asks how far a request is: short, the rest is said beside the outputs.
    short = common if not outputs else {name: common[name] for name in _WHETHER_DONE}
    files.write_json(plan.task_folder(task) / TASK_RECORD, {"outputs": outputs, **short})


def _history(attempt: Attempt, winner: int) -> dict[str, Any]:
    """What a record tells of an attempt. The winner still runs when this is written."""
    found = {name: getattr(attempt, name) for name in _HISTORY}
    return {**found, "state": "done"} if attempt.number == winner else found


def read_record(path: Path | str) -> dict[str, Any]:
    """The record of an output; the output's own path is taken too.

    Raises
    ------
    BadParameter: it is not a record
    """
    path = Path(path)
    if not path.name.endswith(".record.json") and record_path(path).is_file():
        path = record_path(path)
    try:
        content = files.read_json(path)
        if content["version"] == RECORD_VERSION and "output" in content:
            return content
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadParameter(f"{path} can't be read as a record: {error!r}") from error
    raise BadParameter(f"{path} is not the record of an output in version {RECORD_VERSION}")


def is_done(work: Work, task: Task) -> bool:
    """Whether the task's outputs are there, complete, and made from what the request says.

    The task's record must have the task's key, and so must the record beside
    each output; the outputs have the sizes and the inputs the content that the
    record says.
    """
    record = _read(f"{work.plan.task_folder(task)}/{TASK_RECORD}")
    if not record:
        return False
    key = work.key(task)
    return (
        record.get("task key") == key
        and all(size_of(entry["output"]) == entry["size"] for entry in record["outputs"])
        and all(_names(record_path(entry["output"]), key) for entry in record["outputs"])
        and all(HashedFile(**entry).unchanged for entry in record["inputs"])
    )


def outputs_match(work: Work, task: Task) -> int:
    """The attempt that has done the task, if the outputs have the very bytes of its record; else 0."""
    if not is_done(work, task):
        return 0
    record = _read(work.plan.task_folder(task) / TASK_RECORD)
    same = all(files.blake3(entry["output"]) == entry["blake3"] for entry in record["outputs"])
    return record["attempts"] if same else 0


def made_by(output: str) -> str:
    """Task key in the record beside an output; "" if there is no record."""
    return _read(record_path(output)).get("task key", "")


def _names(record: Path, key: str) -> bool:
    """Whether a record has this task key; parsing it would take as long as everything else."""
    try:
        with open(record, "rb") as f:
            return f'"task key": "{key}"'.encode() in f.read()
    except OSError:
        return False


def _read(path: Path | str) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def size_of(path: str) -> int:
    """Size of a file [bytes]; -1 if there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - thousands of them
    except OSError:
        return -1
