"""How a job ended, from all that tells: what SLURM wrote into its log, its state, the task's own measure."""

from __future__ import annotations

import os
import re
from pathlib import Path

from calibook.jobs.slurm.commands import Entry
from calibook.jobs.state import Attempt, one_line

# What slurmstepd writes at the end of a job's log. The first that fits says how it ended.
_MESSAGES = (
    (
        r"exceeded.*memory limit|oom[-_ ]kill|out of memory",
        "out of memory",
        "it took more memory than its job had",
    ),
    (r"DUE TO TIME LIMIT", "out of time", "it took longer than its job was allowed to"),
    (r"DUE TO PREEMPTION", "preempted", "its job had to make room for another"),
    (r"DUE TO NODE FAILURE|DUE TO.*NODE", "node lost", "its node failed"),
    (r"CANCELLED AT", "cancelled", "its job was cancelled"),
)
_STATES = {
    "OUT_OF_MEMORY": _MESSAGES[0],
    "TIMEOUT": _MESSAGES[1],
    "DEADLINE": _MESSAGES[1],
    "PREEMPTED": _MESSAGES[2],
    "NODE_FAIL": _MESSAGES[3],
    "BOOT_FAIL": _MESSAGES[3],
    "CANCELLED": _MESSAGES[4],
}
# A task that was killed with so much of its memory in use was killed for it: the
# peak is sampled, and the last of it is never seen.
_FULL = 0.9
_TAIL_BYTES = 4000


def how_it_ended(attempt: Attempt | None, log: Path, entry: Entry | None) -> tuple[str, str]:
    """State and cause of an attempt that was killed, or of a job in which none was begun (None).

    log: what the job has printed; entry: its line in the queue, if SLURM still has it
    """
    text = tail(log)
    messages = "\n".join(line for line in text.splitlines() if "slurmstepd" in line)
    for pattern, state, cause in _MESSAGES:
        if re.search(pattern, messages, re.IGNORECASE):
            return state, _with_memory(cause, attempt, messages) if state == "out of memory" else cause
    if entry is not None and entry.state in _STATES:
        _, state, cause = _STATES[entry.state]
        return state, _with_memory(cause, attempt, "") if state == "out of memory" else cause
    if attempt is None:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
        return "killed", one_line(last) or f"SLURM says {entry.state} {entry.reason}" if entry else one_line(
            last
        )
    limit = attempt.memory_limit_mb
    if limit and attempt.job_memory_mb >= _FULL * limit:
        return "out of memory", _with_memory(_MESSAGES[0][2], attempt, "")
    return attempt.state, attempt.cause


def measured_mb(text: str) -> float:
    """What SLURM says a job took when it killed it [MB]; 0 if it does not say."""
    match = re.search(r"exceeded.*memory limit \((\d+) > \d+\)", text)
    return int(match[1]) / 2**20 if match else 0.0


def tail(path: Path) -> str:
    """The end of a text file; "" if it can't be read."""
    try:
        with open(path, "rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - _TAIL_BYTES))
            return f.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _with_memory(cause: str, attempt: Attempt | None, messages: str) -> str:
    if attempt is None or not attempt.memory_limit_mb:
        return cause
    peak = max(attempt.job_memory_mb, measured_mb(messages))
    return f"{cause}: {attempt.memory_limit_mb} MB; at least {peak:.0f} MB were in use"
