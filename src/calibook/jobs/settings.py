"""How requests are run: what a facility and a user have chosen, in TOML files.

The facility's file is read first, then the user's, then the command line: a
later word wins. CALIBOOK_SETTINGS names a file to read instead of both.

    executor = "slurm"              # where tasks run: local | slurm

    [slurm]
    partition = "upex"
    time = "2h"                     # of one job: 90s, 30m, 2h, 1d, or as sbatch writes it
    memory = "16G"                  # of one job: 500M, 16G
    max_jobs = 200                  # jobs that run at a time
    setup = ["module load calibook"]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from platformdirs import site_config_path, user_config_path

from calibook.errors import BadParameter
from calibook.jobs.amounts import megabytes, minutes, scheduler_name

EXECUTORS = ("local", "slurm")


@dataclass(frozen=True)
class SlurmSettings:
    """What calibook asks SLURM for. Empty or 0: not asked for, the cluster decides.

    minutes, memory_mb: of one job; 0: from what the plan expects
    max_jobs: so many jobs of a request run at a time
    files_per_job: tasks that one job does, one after the other
    cpus: CPUs of a job
    retries: how often a task is tried again after a failure that is not its own fault
    most_minutes, most_memory_mb: what no retry goes beyond
    summary_minutes, summary_memory_mb: of the job that makes summary and report
    template: an own sbatch template instead of `job.sh.jinja`
    setup: shell lines for the head of each job's script
    scratch: folder on the node's own disk; empty: TMPDIR
    patience: how long a scheduler may take to answer [s]
    """

    partition: str = ""
    minutes: int = 0
    memory_mb: int = 0
    max_jobs: int = 0
    reservation: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    cpus: int = 1
    files_per_job: int = 1
    retries: int = 2
    most_minutes: int = 0
    most_memory_mb: int = 0
    summary_minutes: int = 60
    summary_memory_mb: int = 2000
    template: str = ""
    setup: tuple[str, ...] = ()
    scratch: str = ""
    patience: int = 8

    def with_given(self, given: Mapping[str, Any]) -> SlurmSettings:
        """These settings with what the command line said; None says nothing."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Settings:
    """Choices of facility and user."""

    executor: str = "local"
    slurm: SlurmSettings = SlurmSettings()


def settings_files() -> list[Path]:
    """The files that are read, facility first; they need not exist."""
    given = os.environ.get("CALIBOOK_SETTINGS")
    if given:
        return [Path(given)]
    return [
        site_config_path("calibook") / "settings.toml",
        user_config_path("calibook") / "settings.toml",
    ]


def load_settings() -> Settings:
    """What facility and user have chosen.

    Raises
    ------
    BadParameter: a file can't be read, has an unknown name or a wrong value; says which
    """
    found = Settings()
    for path in settings_files():
        if path.is_file():
            found = _with_file(found, path)
        elif os.environ.get("CALIBOOK_SETTINGS"):
            raise BadParameter(f"CALIBOOK_SETTINGS: there is no file {path}")
    return found


def _with_file(settings: Settings, path: Path) -> Settings:
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadParameter(f"{path} can't be read as settings: {error}") from error
    _refuse_unknown(path, content, ("executor", "slurm"))
    executor = content.get("executor", settings.executor)
    if executor not in EXECUTORS:
        raise BadParameter(f"{path}: executor is {executor!r}, it can be local or slurm")
    section = content.get("slurm", {})
    if not isinstance(section, dict):
        raise BadParameter(f"{path}: slurm is not a section, [slurm]")
    _refuse_unknown(path, section, _KEYS)
    given = {}
    for key, value in section.items():
        name, read = _KEYS[key]
        try:
            given[name] = read(value)
        except (BadParameter, TypeError, ValueError, AttributeError) as error:
            raise BadParameter(f"{path}: slurm.{key}: {error}") from error
    return replace(settings, executor=executor, slurm=replace(settings.slurm, **given))


def _refuse_unknown(path: Path, content: Mapping[str, Any], known: Any) -> None:
    from calibook.procedures.notebook import nearest

    for key in content:
        if key not in known:
            close = nearest(key, list(known))
            hint = f"; did you mean {close}?" if close else f"; there are: {', '.join(known)}"
            raise BadParameter(f"{path}: {key} is not a setting{hint}")


def _count(low: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or value < low:
            raise BadParameter(f"{value!r} is not a whole number from {low} up")
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadParameter(f"{value!r} is not a text")
    return value


def _lines(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise BadParameter(f"{value!r} is not a list of texts")
    return tuple(value)


def _file(value: Any) -> str:
    path = Path(_text(value)).expanduser()
    if not path.is_absolute():
        raise BadParameter(f"{value!r} is not an absolute path")
    return str(path)


def _limit(read: Callable[[str], int]) -> Callable[[Any], int]:
    return lambda value: read(str(value) if type(value) is int else _text(value))


# Name in the file: name here, and how its value is read.
_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("partition", "reservation", "account", "qos", "constraint"), lambda v: scheduler_name(_text(v))
    ),
    **dict.fromkeys(("minutes", "most_minutes", "summary_minutes"), _limit(minutes)),
    **dict.fromkeys(("memory_mb", "most_memory_mb", "summary_memory_mb"), _limit(megabytes)),
    **dict.fromkeys(("max_jobs", "retries"), _count(0)),
    **dict.fromkeys(("cpus", "files_per_job", "patience"), _count(1)),
    "setup": _lines,
    "template": _file,
    "scratch": _file,
}
_KEYS = {
    field.name.replace("minutes", "time").removesuffix("_mb"): (field.name, _READERS[field.name])
    for field in fields(SlurmSettings)
}
