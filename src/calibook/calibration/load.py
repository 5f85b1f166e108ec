"""The pinned constants of a task, as arrays that kernels take."""

from __future__ import annotations

import numpy as np

from calibook.constants import as_used, load_pinned
from calibook.detectors.base import Detector
from calibook.errors import BadInput, NoConstants
from calibook.procedures.tasks import Plan, Task


def load_constants(plan: Plan, task: Task, detector: Detector) -> dict[str, np.ndarray]:
    """{calibration: array (cell, gain, slow_scan, fast_scan)}, content hashes checked.

    Raises NoConstants if the plan found a required one missing, ConstantDamaged
    if a file is not what was put, BadInput for one of another detector's shape.
    """
    missing = task.about.get("missing_constants", {})
    if missing:
        raise NoConstants(
            f"{task.name}: " + "; ".join(f"{calibration}: {why}" for calibration, why in missing.items())
        )
    loaded = {}
    for entry in plan.constants_of(task):
        array = as_used(load_pinned(entry), entry["dims"])
        if array.shape[2:] != detector.module_shape:
            raise BadInput(
                entry["path"],
                f"constant {entry['id']} ({entry['calibration']}) is for {array.shape[2:]} pixels, "
                f"a module of {detector.title} has {detector.module_shape}",
                dataset=entry["dataset"],
            )
        loaded[entry["calibration"]] = array
    return loaded


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
