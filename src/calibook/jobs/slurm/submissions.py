"""What was submitted, kept in the work folder: `slurm/<n>/`.

submission.json    the intent, written before anything is submitted
tasks1.sh ...      the scripts, one for each array; finish.sh
tasks1.job ...     ID of the job that came of it: written once, by whoever knows it first
logs/              what the jobs themselves print, and what SLURM says of their end
cancelled          there if the user cancelled it
finished.json      how summary and report went
"""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from calibook import files
from calibook.errors import BadParameter
from calibook.jobs.settings import SlurmSettings
from calibook.jobs.work import Work

VERSION = 1
FINISH = "finish"
ABANDONED = "none"
"""In place of a job's ID: nothing was submitted, and if it was after all, it must do nothing."""


@dataclass(frozen=True)
class Job:
    """An array of jobs, or the job that finishes the request.

    label: "tasks1", "tasks2", ... or "finish"
    name: SLURM's name of it; nothing else has this name
    arguments: for sbatch; groups: tasks of each element
    memory_mb, minutes: what it asks for; 0: what the cluster gives
    at_once: how many elements may run at a time
    wave: it begins when the arrays of the wave before have ended; wave 0: at once, beside
        older submissions' arrays
    """

    label: str
    name: str
    arguments: list[str]
    groups: list[list[str]] = field(default_factory=list)
    memory_mb: int = 0
    minutes: int = 0
    at_once: int = 0
    wave: int = 0


@dataclass(frozen=True)
class Submission:
    """One submission of a request's tasks, the n-th.

    round: 0 if a user asked for it, then 1, 2, ... for what it tried again by itself
    settings: the executor's settings it was made with
    report: options of `finish`
    """

    folder: Path
    number: int
    round: int
    created: str
    jobs: list[Job]
    settings: dict[str, Any]
    report: dict[str, Any]

    @property
    def arrays(self) -> list[Job]:
        """The jobs that do tasks."""
        return [job for job in self.jobs if job.label != FINISH]

    @property
    def finish(self) -> Job:
        """The job that makes summary and report."""
        return next(job for job in self.jobs if job.label == FINISH)

    @property
    def executor_settings(self) -> SlurmSettings:
        """The settings it was made with."""
        return SlurmSettings(**{**self.settings, "setup": tuple(self.settings["setup"])})

    @property
    def cancelled(self) -> bool:
        """Whether the user cancelled it."""
        return (self.folder / "cancelled").exists()

    def script(self, job: Job) -> Path:
        """What the job runs."""
        return self.folder / f"{job.label}.sh"

    def job_id(self, job: Job) -> str:
        """ID of what was submitted; ABANDONED if nothing was; "" if that is not known."""
        try:
            return self._id_file(job).read_text().strip()
        except FileNotFoundError:
            return ""

    def claim(self, job: Job, job_id: str) -> str:
        """Note what came of a job, unless it is noted already; what is noted now."""
        part = files.part_path(self._id_file(job))
        part.write_text(job_id + "\n")
        try:
            os.link(part, self._id_file(job))  # fails if somebody was faster
        except FileExistsError:
            pass
        finally:
            part.unlink()
        return self.job_id(job)

    def log(self, job: Job, index: int) -> Path:
        """What an element of an array, or the finishing job (-1), has printed."""
        return self.folder / "logs" / (f"{job.label}.log" if index < 0 else f"{job.label}-{index}.log")

    def write(self) -> None:
        """Write the intent."""
        content = asdict(self)
        del content["folder"]
        files.write_json(self.folder / "submission.json", {"version": VERSION, **content})

    def _id_file(self, job: Job) -> Path:
        return self.folder / f"{job.label}.job"


def claim_folder(work: Work) -> Path:
    """A new folder `slurm/<n>` for a submission."""
    parent = work.folder / "slurm"
    parent.mkdir(parents=True, exist_ok=True)
    number = max(_numbers(parent), default=0) + 1
    while True:
        try:
            (parent / str(number)).mkdir()
            break
        except FileExistsError:
            number += 1
    (parent / str(number) / "logs").mkdir()
    return parent / str(number)


def new_token() -> str:
    """What makes the names of a submission's jobs its own."""
    return secrets.token_hex(3)


def job_name(work: Work, number: int, label: str, token: str) -> str:
    """A name that tells the request, the submission and the job, and that is given only once."""
    return f"calibook-{work.id[:12]}-{number}-{label}-{token}"


def read_submissions(work: Work) -> list[Submission]:
    """All submissions of a request, oldest first. A folder without its intent has submitted nothing."""
    parent = work.folder / "slurm"
    return [
        _read(parent / str(number))
        for number in _numbers(parent)
        if (parent / str(number) / "submission.json").is_file()
    ]


def read_submission(work: Work, number: int) -> Submission:
    """One submission. Raises BadParameter if there is none of this number."""
    folder = work.folder / "slurm" / str(number)
    if not (folder / "submission.json").is_file():
        raise BadParameter(f"{folder} holds no submission")
    return _read(folder)


def _read(folder: Path) -> Submission:
    content = files.read_json(folder / "submission.json")
    if content.pop("version") != VERSION:
        raise BadParameter(f"{folder}: submitted by another version of calibook; cancel it by hand")
    return Submission(**{**content, "folder": folder, "jobs": [Job(**job) for job in content["jobs"]]})


def _numbers(parent: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in parent.iterdir() if path.name.isdecimal())
    except FileNotFoundError:
        return []
