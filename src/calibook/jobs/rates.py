"""How fast the tasks of a request are done, and when the rest will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from calibook.jobs.state import TaskStatus

# The rate is that of the newest tasks, as a cluster's share changes.
_NEWEST = 100


@dataclass(frozen=True)
class Rate:
    """per_minute: tasks done; seconds_left: until the others are done, 0 if there is no telling."""

    per_minute: float = 0.0
    seconds_left: float = 0.0


def rate_of(statuses: Sequence[TaskStatus]) -> Rate:
    """The rate of the newest tasks that are done, from when the first of them began until now."""
    left = sum(status.state in ("waiting", "running") for status in statuses)
    done = [s.last for s in statuses if s.state == "done" and s.last is not None and s.last.ended]
    newest = sorted(done, key=lambda attempt: attempt.ended)[-_NEWEST:]
    if not newest or not left:
        return Rate()
    began = min(datetime.fromisoformat(attempt.started) for attempt in newest)
    seconds = max((datetime.now(UTC) - began).total_seconds(), 1.0)
    per_second = len(newest) / seconds
    return Rate(60 * per_second, left / per_second)
