"""The pinned constants of a task, as arrays that kernels take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from calibook.constants import as_used, load_pinned, seen_as_used
from calibook.detectors.base import Detector
from calibook.errors import BadInput, NoConstants
from calibook.procedures.tasks import Plan, Task


class TaskConstants(Mapping[str, np.ndarray]):
    """{calibration: array (cell, gain, slow_scan, fast_scan)}, read and checked whenever asked for.

    Nothing is kept: those of hundreds of memory cells together would not fit
    into a task's memory.

    mapped: arrays are views of the files, not copies: for who copies a part at a time

    Raises NoConstants at once if the plan found a required
    one missing; when read, ConstantDamaged if a file is not what was put, and
    BadInput for one of another detector's shape.
    """

    def __init__(self, plan: Plan, task: Task, detector: Detector, *, mapped: bool = False):
        missing = task.about.get("missing_constants", {})
        if missing:
            raise NoConstants(
                f"{task.name}: " + "; ".join(f"{calibration}: {why}" for calibration, why in missing.items())
            )
        self._detector, self._mapped = detector, mapped
        self._entries = {entry["calibration"]: entry for entry in plan.constants_of(task)}

    def __getitem__(self, calibration: str) -> np.ndarray:
        return _load(self._entries[calibration], self._detector, self._mapped)

    def __contains__(self, calibration: object) -> bool:
        return calibration in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def load_constants(plan: Plan, task: Task, detector: Detector) -> dict[str, np.ndarray]:
    """All of a task's constants at once, see `TaskConstants`."""
    return dict(TaskConstants(plan, task, detector))


def _load(entry: Mapping[str, Any], detector: Detector, mapped: bool) -> np.ndarray:
    stored, dims = load_pinned(entry, mapped=mapped), entry["dims"]
    array = seen_as_used(stored, dims) if mapped else as_used(stored, dims)
    if array.shape[2:] != detector.module_shape:
        raise BadInput(
            entry["path"],
            f"constant {entry['id']} ({entry['calibration']}) is for {array.shape[2:]} pixels, "
            f"a module of {detector.title} has {detector.module_shape}",
            dataset=entry["dataset"],
        )
    return array


def combine_bad_pixels(constants: dict[str, np.ndarray], names: list[str], static: np.ndarray) -> np.ndarray:
    """One word per cell, gain stage and pixel: the named constants and a static map, ORed.

    static: u4 (slow_scan, fast_scan)
    Returns u4 (cell, gain, slow_scan, fast_scan) with as many cells as the largest has.
    """
    word = static[None, None].astype(np.uint32)
    for name in names:
        if name in constants:
            word = word | constants[name].astype(np.uint32)
    return np.ascontiguousarray(word)
