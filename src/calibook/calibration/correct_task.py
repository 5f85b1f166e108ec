"""What every correction of a file does: open, write, tell what it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calibook.detectors.base import Detector
from calibook.procedures.tasks import Task
from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.raw_file import RawModuleFile, open_raw


@contextmanager
def corrected_file(
    detector: Detector,
    task: Task,
    select: Callable[[RawModuleFile], None] | None = None,
    legacy_name: bool = False,
) -> Iterator[tuple[RawModuleFile, CorrectedWriter, dict[str, Any]]]:
    """The task's raw file, its output, which appears when it is whole, and a place for results.

    select: leaves out frames of the raw file
    legacy_name: see `CorrectedWriter`

    The results get, from here, `module` and `sequence`, `train_ids` and their
    number `trains`, and the `seconds` that it took.
    Raises BadInput with file, dataset and train if the raw file can't be used.
    """
    began = time.perf_counter()
    results: dict[str, Any] = {"module": task.about["module"], "sequence": task.about["sequence"]}
    with open_raw(task.inputs[0], detector, task.about["karabo_id"]) as raw:
        if select is not None:
            select(raw)
        results["train_ids"], results["trains"] = raw.train_ids, raw.n_trains
        with CorrectedWriter(Path(task.outputs[0]), raw, detector, legacy_name) as writer:
            yield raw, writer, results
    results["seconds"] = time.perf_counter() - began
