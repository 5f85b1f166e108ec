"""Which AGIPD a run is of: both kinds have the same notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from calibook.detectors.agipd import AGIPD, agipd_of
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Plan, Task
from calibook.runs.discover import find_karabo_id, find_raw_files


def detector_of_run(
    in_folder: str, run: int, modules: Sequence[int] = (-1,), karabo_id: str = ""
) -> Detector:
    """AGIPD 1M or 500K, by the name that the run's files have for it.

    karabo_id: if the run has several detectors, the one that is meant
    """
    return agipd_of(karabo_id or find_karabo_id(find_raw_files(in_folder, run, AGIPD, modules), AGIPD))


def detector_of_plan(plan: Plan) -> Detector:
    """The detector that a plan's tasks are for."""
    return agipd_of(plan.tasks[0].about["karabo_id"])


def has_fixed_gain(task: Task) -> bool:
    """Whether the gain stages of a task's dark runs were held by fixed gain modes."""
    return any("Gain mode" in conditions for conditions in task.about["valid_for"])
