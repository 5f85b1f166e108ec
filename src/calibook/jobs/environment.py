"""What the kernel of a task finds in its environment, and what a scheduler gave its job."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from calibook import __version__

# Libraries that start a thread per CPU of the node if nobody tells them how many a task has.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def in_slurm_job() -> bool:
    """Whether this process belongs to a job of SLURM."""
    return "SLURM_JOB_ID" in os.environ and "SLURMD_NODENAME" in os.environ


def cpus() -> int:
    """CPUs that this process may use: a scheduler may give fewer than the system would let us have."""
    allowed = len(os.sched_getaffinity(0))
    if not in_slurm_job():
        return allowed
    given = _number("SLURM_CPUS_PER_TASK") or _number("SLURM_CPUS_ON_NODE")
    return min(allowed, given) if given else allowed


def given_by_scheduler() -> dict[str, Any]:
    """Fields of an Attempt that tell its job and what the job may take; {} without a scheduler."""
    if not in_slurm_job():
        return {}
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    per_cpu = _number("SLURM_MEM_PER_CPU") * _number("SLURM_CPUS_ON_NODE")
    return {
        "job": f"{array}_{index}" if array else os.environ["SLURM_JOB_ID"],
        "job_name": os.environ.get("SLURM_JOB_NAME", ""),
        "node": os.environ["SLURMD_NODENAME"],
        "cpus": cpus(),
        "memory_limit_mb": _number("SLURM_MEM_PER_NODE") or per_cpu,
    }


def task_environment() -> dict[str, str]:
    """Variables to set for a task; what somebody set before stays.

    NUMBA_CACHE_DIR: compiled kernels, shared by all tasks of this version of calibook;
        in a job on the node's own disk, as many nodes would meet on a shared one
    CALIBOOK_THREADS: how many threads the task may use
    """
    threads = os.environ.get("CALIBOOK_THREADS") or str(cpus())
    wanted = {"CALIBOOK_THREADS": threads}
    if not os.environ.get("NUMBA_CACHE_DIR"):
        wanted["NUMBA_CACHE_DIR"] = str(_numba_cache())
    wanted |= dict.fromkeys(_THREAD_VARIABLES, threads)
    return {name: value for name, value in wanted.items() if not os.environ.get(name)}


def _numba_cache() -> Path:
    if not in_slurm_job():
        return Path(user_cache_dir("calibook")) / f"numba-{__version__}"
    folder = Path(tempfile.gettempdir()) / f"calibook-numba-{os.getuid()}-{__version__}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # The cache holds code, and others may write to the folder it lies in.
    facts = folder.lstat()
    if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="calibook-numba-"))


def _number(variable: str) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else 0
