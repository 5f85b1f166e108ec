"""Plans of simulations: one task, which writes all files of a run and its truth."""

from __future__ import annotations

from collections.abc import Sequence

from calibook.calibration.planning.resources import raw_size_mb, simulation_memory_mb
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Plan, Task
from calibook.simulation.recording import files_of_run
from calibook.simulation.settings import RunSettings


def plan_simulation(
    detector: Detector, settings: RunSettings, *, out_folder: str, modules: Sequence[int]
) -> Plan:
    """One task that writes all files of a simulated run, its truth included.

    modules: numbers of the simulated modules
    """
    raw, truth = files_of_run(out_folder, settings, detector, modules)
    outputs = [str(path.resolve()) for path in (*raw, *truth)]
    frames = len(settings.positions) * settings.pulses * len(modules)
    memory_mb = simulation_memory_mb(detector, settings.pulses, len(modules))
    return Plan(
        tasks=[Task(name="simulate", outputs=outputs, memory_mb=memory_mb)],
        facts={
            "detector": f"{settings.karabo_id} ({detector.title})",
            "run": str(settings.run),
            "raw data": str(raw[0].resolve().parent),
            "truth": str(truth[0].resolve().parent),
        },
        space_mb=raw_size_mb(detector, frames),
    )
