"""What the kernel of a task finds in its environment."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

from calibook import __version__

# Libraries that start a thread per CPU of the node if nobody tells them how many a task has.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def task_environment() -> dict[str, str]:
    """Variables to set for a task; what somebody set before stays.

    NUMBA_CACHE_DIR: compiled kernels, shared by all tasks of this version of calibook
    CALIBOOK_THREADS: how many threads the task may use
    """
    threads = os.environ.get("CALIBOOK_THREADS") or str(cpus())
    cache = Path(user_cache_dir("calibook")) / f"numba-{__version__}"
    wanted = {"CALIBOOK_THREADS": threads, "NUMBA_CACHE_DIR": str(cache)}
    wanted |= dict.fromkeys(_THREAD_VARIABLES, threads)
    return {name: value for name, value in wanted.items() if not os.environ.get(name)}
