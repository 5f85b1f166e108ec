"""Constants that a characterisation made: put into the store, and listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from calibook.constants import Constant, Store, as_stored
from calibook.constants.given import conditions_for
from calibook.detectors.base import Detector
from calibook.files import read_json, write_json
from calibook.procedures.tasks import Plan, Task

_AXES, _AXES_NO_GAIN = ("cell", "gain", "slow_scan", "fast_scan"), ("cell", "slow_scan", "fast_scan")


def put_constants(
    detector: Detector, task: Task, arrays: dict[str, np.ndarray], *, inject: bool = True
) -> list[Constant]:
    """Put a module's new constants into the store, and list them in the task's output.

    task: with about["unit"], about["begin"], about["store"], and about["valid_for"], the
        sets of conditions that the constants serve
    arrays: {calibration: (cell, gain or quantity, slow_scan, fast_scan)}, or without the second axis
    inject: False leaves the store alone; the list is then empty

    Doing it again changes nothing: the same content is one entry.
    """
    about = task.about
    put = []
    for calibration, array in arrays.items() if inject else ():
        facts = detector.constants[calibration]
        axes = _AXES if array.ndim == 4 else _AXES_NO_GAIN
        stored = as_stored(array, axes, facts.dims, facts.dtype)
        for valid_for in about["valid_for"]:
            constant = Store(about["store"]).put(
                stored,
                calibration=calibration,
                pdu=about["unit"],
                detector_type=detector.detector_type,
                conditions=conditions_for(detector, calibration, valid_for),
                begin=about["begin"],
                dims=facts.dims,
                raw_location=", ".join(Path(path).name for path in task.inputs),
            )
            put.append(constant)
    write_json(task.outputs[0], {"unit": about["unit"], "constants": [c.to_dict() for c in put]})
    return put


def made_constants(plan: Plan) -> list[dict[str, Any]]:
    """Rows of a table of all constants that the plan's tasks put: unit, calibration, entry, ..."""
    rows = []
    for task in plan.tasks:
        listed = read_json(task.outputs[0])["constants"] if Path(task.outputs[0]).is_file() else []
        rows += [
            {
                "unit": c["pdu"],
                "calibration": c["calibration"],
                "entry": c["id"],
                "valid from": c["begin"][:19],
            }
            for c in listed
        ]
    return rows
