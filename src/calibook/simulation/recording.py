"""Simulated runs of any detector: sequences, modules side by side, the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import h5py
import numpy as np

from calibook.detectors.base import Detector
from calibook.errors import BadParameter
from calibook.runs.names import run_folder_name
from calibook.runs.raw_writer import RunPart
from calibook.simulation.settings import RunSettings
from calibook.simulation.truth_files import truth_path

SAMPLE = "simulated"
"""`METADATA/sample` of simulated files: files without it are never overwritten."""

Progress = Callable[[int, int], None]


class Recorder(Protocol):
    """Records one module's run, and the truth with it."""

    def write_file(self, folder: Path, part: RunPart, positions: np.ndarray, count: Count) -> None:
        """Write one sequence: the trains at these positions of the run."""

    def write_truth(self, target: Path) -> None:
        """Write the truth, after all sequences."""


class Count:
    """Counts trains over all threads and tells the caller."""

    def __init__(self, total: int, progress: Progress | None):
        self._done, self._total, self._progress, self._lock = 0, total, progress, Lock()

    def one_more(self) -> None:
        """Another train of a module is done."""
        with self._lock:
            self._done += 1
            if self._progress:
                self._progress(self._done, self._total)


def record_run(
    out_folder: Path | str,
    settings: RunSettings,
    detector: Detector,
    modules: Sequence[int],
    recorder: Callable[[int], Recorder],
    write_control: Callable[[Path, RunPart], Path],
    progress: Progress | None = None,
    workers: int = 1,
) -> list[Path]:
    """Write a raw run and its truth.

    Raw files go to `out_folder/r0004`, truth to `out_folder/truth` (see
    `truth_files`). Equal settings give equal bytes. An earlier simulation of
    the same files is overwritten.

    recorder: makes the recorder of a module
    write_control: writes the control file of a part into the run's folder
    progress: called with (trains done, trains in all), counted over modules
    workers: modules simulated at the same time; makes no difference to the files

    Returns the raw files' paths, the control device's files last. Raises
    BadParameter if the run's folder has files that this run would mix with.
    """
    paths, truth_paths = files_of_run(out_folder, settings, detector, modules)
    folder, parts = paths[0].parent, list(_parts(settings))
    _check_folder(folder, {*paths})
    count = Count(len(modules) * len(settings.positions), progress)

    def record(module: int, truth: Path) -> None:
        of_module = recorder(module)
        for part, positions in parts:
            of_module.write_file(folder, part, positions, count)
        of_module.write_truth(truth)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(record, modules, truth_paths))
    for part, _ in parts:
        write_control(folder, part)
    return paths


def files_of_run(
    out_folder: Path | str, settings: RunSettings, detector: Detector, modules: Sequence[int]
) -> tuple[list[Path], list[Path]]:
    """Raw files of a simulated run, those of the control devices last; truth file of each module."""
    folder = Path(out_folder) / run_folder_name(settings.run)
    modules_of = [detector.aggregator.format(module=module) for module in modules]
    raw = [
        part.path(folder, aggregator)
        for aggregator in (*modules_of, detector.control_aggregator)
        for part, _ in _parts(settings)
    ]
    return raw, [truth_path(out_folder, settings.run, aggregator) for aggregator in modules_of]


def settings_as_facts(settings: RunSettings) -> dict[str, Any]:
    """Settings as attributes of a truth file."""
    return {
        name: value if isinstance(value, int | float | str) else str(value)
        for name, value in asdict(settings).items()
    }


def _parts(settings: RunSettings) -> Iterator[tuple[RunPart, np.ndarray]]:
    """The run's sequences with the positions of their trains."""
    positions = settings.positions
    n_parts = -(-len(positions) // settings.trains_per_sequence)
    for sequence in range(n_parts):
        first = sequence * settings.trains_per_sequence
        own = positions[first : first + settings.trains_per_sequence]
        ids, stamps = settings.train_ids(own), settings.timestamps_ns(own)
        yield RunPart(settings.run, sequence, ids, stamps, sample=SAMPLE), own


def _check_folder(folder: Path, own: set[Path]) -> None:
    """Refuse to overwrite, or to mix with, files that are not of this simulated run."""
    for path in sorted(folder.glob("*.h5")):
        if path not in own or not _is_simulated(path):
            raise BadParameter(
                f"{path} is in the way: it is not a file of the simulated run that would be written to "
                f"{folder}. Choose another run number or out-folder, or remove it."
            )


def _is_simulated(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as h5file:
            return h5file["METADATA/sample"][0] == SAMPLE.encode()
    except (OSError, KeyError):
        return False
