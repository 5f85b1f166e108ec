"""Two ways of doing the same, timed in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Something to be timed.

    name: stable, in the table and in results.json
    against: what ours is compared with, for the table
    ours, other: do the same work once
    check: raises if the two don't give the same result
    rounds: turns
    before: done before each, untimed: e.g. to remove what an earlier one wrote
    """

    name: str
    against: str
    ours: Callable[[], object]
    other: Callable[[], object]
    check: Callable[[], None]
    rounds: int = 7
    before: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Figure:
    """Median and spread of a ratio, or of seconds where nothing compares."""

    name: str
    against: str
    median: float
    min: float
    max: float
    n: int

    @classmethod
    def of(cls, name: str, against: str, values: list[float]) -> Figure:
        return cls(name, against, statistics.median(values), min(values), max(values), len(values))


def compare(comparison: Comparison) -> Figure:
    """Check, warm up, then take turns; the ratio is seconds of the other over ours."""
    comparison.check()
    if comparison.rounds > 1:
        comparison.ours()
        comparison.other()
    ratios = []
    for _ in range(comparison.rounds):
        comparison.before()
        ours = seconds(comparison.ours)
        comparison.before()
        ratios.append(seconds(comparison.other) / ours)
    return Figure.of(comparison.name, comparison.against, ratios)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
