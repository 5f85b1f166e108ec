"""`calibration_metadata.yml`: which constants made a corrected run, as EXtra reads it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibook import __version__
from calibook.files import write_text
from calibook.procedures.tasks import Plan

FILE_NAME = "calibration_metadata.yml"


def write_correction_metadata(
    plan: Plan, parameters: Mapping[str, Any], out_folder: Path | str, title: str
) -> Path:
    """Write the file that `extra.calibration.CalibrationData.from_correction` reads.

    parameters: of the procedure; their names get hyphens, as the facility writes them
    title: of the notebook
    Returns its path, in out_folder.
    """
    import yaml

    karabo_ids = {task.about["karabo_id"] for task in plan.tasks}
    configuration = {name.replace("_", "-"): value for name, value in parameters.items()}
    configuration["karabo-id"] = karabo_ids.pop()
    content = {
        "calibration-configurations": configuration,
        "notebook": {"title": title, "author": "calibook"},
        "calibook-version": __version__,
        "python-environment": {"path": sys.executable, "python-version": platform.python_version()},
        "reproducible": True,
        "retrieved-constants": _retrieved(plan),
    }
    path = Path(out_folder) / FILE_NAME
    write_text(path, yaml.safe_dump(content, sort_keys=True, allow_unicode=True))
    return path


def _retrieved(plan: Plan) -> dict[str, Any]:
    """{karabo-da: {"physical-name": unit, "constants": {calibration: where it is}}}"""
    retrieved: dict[str, Any] = {}
    for entry in plan.constants:
        module = retrieved.setdefault(entry["karabo_da"], {"physical-name": entry["pdu"], "constants": {}})
        module["constants"][entry["calibration"]] = {
            "ccv_id": entry["id"],
            "creation-time": entry["begin"],
            "dataset": entry["dataset"],
            "path": str(Path(entry["store"]) / entry["path"]),
        }
    return retrieved
