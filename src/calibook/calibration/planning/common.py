"""What plans of all procedures have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from calibook.detectors.base import Detector
from calibook.detectors.geometry import geometry_of
from calibook.runs.conditions import RunConditions
from calibook.runs.discover import RawFile


def check_geometry(detector: Detector, geometry_file: str) -> None:
    """Better now than after all tasks, when the pictures are made."""
    if geometry_file:
        geometry_of(detector, (), geometry_file)


def run_facts(
    detector: Detector,
    found: RunConditions,
    in_folder: str,
    runs: Collection[int],
    files: Sequence[RawFile],
) -> dict[str, str]:
    """What is worked on, as a report shows it. found: of the first run; files: of all runs."""
    aggregators = sorted({file.aggregator for file in files})
    return {
        "detector": f"{found.karabo_id} ({detector.title})",
        "run" if len(runs) == 1 else "runs": ", ".join(str(run) for run in runs),
        "first train": found.start.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "modules": f"{len(aggregators)}: {', '.join(aggregators)}",
        "raw files": str(len(files)),
        "raw data": str(Path(in_folder).resolve()),
    }
