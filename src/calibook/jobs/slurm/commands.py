"""SLURM's own commands, and nothing else: what is asked for, and what they answer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibook.errors import BadParameter, CalibookError

# Of the submission's environment: what belongs to the job or the machine it is submitted from.
_LEFT_BEHIND = re.compile(
    r"SLURM_.*|SLURMD_.*|SBATCH_.*|SQUEUE_.*|TMPDIR|XDG_RUNTIME_DIR|XDG_SESSION.*|DISPLAY|SSH_.*|DBUS_.*"
    r"|CALIBOOK_THREADS|NUMBA_CACHE_DIR|(OMP|OPENBLAS|MKL|NUMEXPR)_NUM_THREADS"
)
_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_CLUSTERS")
# What sbatch says if it could not talk to the controller to the end: the job may have been taken.
_DOUBTFUL = re.compile(
    r"contact slurm controller|timed out|connect failure|connection (failure|refused|reset)|communicat"
    r"|socket error|slurm_(msg|send|receive)_|zero bytes were transmitted|unexpected message|standby mode"
    r"|protocol authentication|temporarily un",
    re.IGNORECASE,
)
# sbatch gives up by itself when the controller does not answer; ended earlier, it leaves us in doubt [s].
_SUBMIT_PATIENCE = 300
DEFAULT_MAX_ARRAY = 1001
"""Elements of an array, if a cluster says nothing else."""
ACTIVE = (
    "PENDING",
    "RUNNING",
    "CONFIGURING",
    "COMPLETING",
    "SUSPENDED",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "RESIZING",
    "SIGNALING",
    "STAGE_OUT",
    "STOPPED",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
)
"""States of a job that has not ended."""


class SchedulerSilent(CalibookError):
    """SLURM does not answer, or its commands are not here."""

    cause = "scheduler silent"


class Refused(CalibookError):
    """SLURM does not take a job, and says why."""

    cause = "bad parameter"


@dataclass(frozen=True)
class Entry:
    """A line of the queue: one job, or one element of an array.

    job: ID of the job or the array; index: of the element, -1 if it is no array
    state: SLURM's word, e.g. "PENDING"; reason: why it waits, or how it ended
    """

    job: str
    index: int
    state: str
    reason: str
    name: str

    @property
    def id(self) -> str:
        """As SLURM's commands take it."""
        return self.job if self.index < 0 else f"{self.job}_{self.index}"

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE

    @property
    def held(self) -> bool:
        """Whether SLURM holds it for ever: its ID was lost, given again, and met the job that had it."""
        return "requeued held" in self.reason.replace("_", " ")


def require_slurm() -> None:
    """Raises BadParameter if SLURM's commands are not installed here."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "scontrol") if shutil.which(name) is None]
    if missing:
        raise BadParameter(
            f"SLURM is asked for, but there is no command {', '.join(missing)} here; log in to a machine of "
            "the cluster, or give --executor local"
        )


def queue(names: Iterable[str], patience: float) -> list[Entry]:
    """What SLURM knows of the jobs of these names, ended ones too as long as it remembers them.

    By name, as an ID that SLURM has lost is given again to another job, and an
    unknown ID is an error. One call, whatever the number of jobs.

    patience: how long to wait for the answer [s]

    Raises
    ------
    SchedulerSilent: no answer
    """
    wanted = list(names)
    if not wanted:
        return []
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r|%j"]
    found = []
    for line in _ask([*command, f"--name={','.join(wanted)}"], patience).splitlines():
        job, index, state, rest = line.split("|", 3)
        reason, _, name = rest.rpartition("|")
        found.append(Entry(job, int(index) if index.isdecimal() else -1, state, reason, name))
    return found


def max_array_size(patience: float) -> int:
    """How many elements the cluster allows in an array."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask(["scontrol", "show", "config"], patience), re.M)
    return max(1, int(match[1])) if match else DEFAULT_MAX_ARRAY


def submit(arguments: Sequence[str], script: Path, folder: Path, lock: int | None = None) -> str:
    """Submit a script; the ID of its job.

    folder: where the job starts, and where relative paths of its logs begin
    lock: file descriptor that sbatch keeps open: who holds the lock of a work
        folder holds it until sbatch has ended, even if we are killed

    Raises
    ------
    Refused: SLURM says no
    SchedulerSilent: it is not known whether the job was taken
    """
    command = ["sbatch", "--parsable", f"--chdir={folder}", *arguments, str(script)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_SUBMIT_PATIENCE,
            env=submission_environment(),
            pass_fds=() if lock is None else (lock,),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SchedulerSilent(f"sbatch: {error}") from error
    if done.returncode:
        said = _said(done.stderr)
        doubtful = _DOUBTFUL.search(said) or not said  # it is killed without a word
        raise (SchedulerSilent if doubtful else Refused)(f"sbatch: {said or f'exit code {done.returncode}'}")
    return done.stdout.strip().split(";")[0]


def cancel(ids: Sequence[str], patience: float) -> None:
    """End jobs. IDs of jobs that are over are no error."""
    if ids:
        _ask(["scancel", "--quiet", *ids], patience)


def release(ids: Sequence[str], patience: float) -> None:
    """Let held jobs go."""
    if ids:
        _ask(["scontrol", "release", ",".join(ids)], patience)


def submission_environment() -> dict[str, str]:
    """Our environment as a job shall have it."""
    return {k: v for k, v in os.environ.items() if k in _KEPT or not _LEFT_BEHIND.fullmatch(k)}


def _ask(command: list[str], patience: float) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SQUEUE_", "SCANCEL_"))}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience,
            env=env,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SchedulerSilent(f"{command[0]}: no answer in {patience:g} s") from None
    except OSError as error:
        raise SchedulerSilent(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise SchedulerSilent(f"{command[0]}: {_said(done.stderr) or f'exit code {done.returncode}'}")
    return done.stdout


def _said(errors: str) -> str:
    """What a command of SLURM wrote to its standard error, in one line and without its own name."""
    lines = [re.sub(r"^\w+: (error: )?", "", " ".join(line.split())) for line in errors.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))
