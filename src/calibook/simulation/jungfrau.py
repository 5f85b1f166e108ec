"""Simulated JUNGFRAU runs: photons to raw files, with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock

import h5py
import numpy as np

from calibook.detectors.jungfrau import JUNGFRAU
from calibook.errors import BadParameter
from calibook.runs.names import run_folder_name
from calibook.runs.raw_writer import RawFileWriter, RunPart, raw_file_writer, write_control_file
from calibook.simulation import kernels
from calibook.simulation.detector_model import DetectorModel, draw_model
from calibook.simulation.exposure import ModuleExposure
from calibook.simulation.scenes import expected_photons
from calibook.simulation.settings import RunSettings
from calibook.simulation.streams import Stream, generator
from calibook.simulation.truth import no_photons
from calibook.simulation.truth_files import truth_path, write_truth

SAMPLE = "simulated"
"""`METADATA/sample` of simulated files: files without it are never overwritten."""

FIRST_FRAMES = 4
"""Frames whose true photons are kept one by one."""

MISSING_CELL = 255

Progress = Callable[[int, int], None]


def simulate_run(
    out_folder: Path | str, settings: RunSettings, progress: Progress | None = None, workers: int = 1
) -> list[Path]:
    """Write a raw run and its truth.

    Raw files go to `out_folder/r0004`, truth to `out_folder/truth` (see
    `truth_files`). Equal settings give equal bytes. An earlier simulation of
    the same files is overwritten.

    progress: called with (trains done, trains in all), counted over modules
    workers: modules simulated at the same time; makes no difference to the files

    Returns the raw files' paths, the control device's files last. Raises
    BadParameter if the run's folder has files that this run would mix with.
    """
    folder = Path(out_folder) / run_folder_name(settings.run)
    parts = list(_parts(settings))
    modules = range(JUNGFRAU.first_module, JUNGFRAU.first_module + settings.modules)
    aggregators = [JUNGFRAU.aggregator.format(module=module) for module in modules]
    paths = [part.path(folder, name) for name in aggregators for part, _ in parts]
    control_paths = [part.path(folder, JUNGFRAU.control_aggregator) for part, _ in parts]
    _check_folder(folder, {*paths, *control_paths})
    scene = expected_photons(settings.scene, settings.modules, settings.intensity, settings.double_size)
    pulses = _pulse_energies(settings)
    count = _Count(settings.modules * len(settings.positions), progress)

    def record(module: int, aggregator: str, expected: np.ndarray) -> None:
        recorder = _Recorder(settings, module, expected, pulses)
        for part, positions in parts:
            recorder.write_file(folder, part, positions, count)
        recorder.write_truth(truth_path(out_folder, settings.run, aggregator))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(record, modules, aggregators, scene))
    for part, _ in parts:
        write_control_file(folder, JUNGFRAU, settings.karabo_id, part, settings.control_values())
    return paths + control_paths


class _Count:
    """Counts trains over all threads and tells the caller."""

    def __init__(self, total: int, progress: Progress | None):
        self._done, self._total, self._progress, self._lock = 0, total, progress, Lock()

    def one_more(self) -> None:
        with self._lock:
            self._done += 1
            if self._progress:
                self._progress(self._done, self._total)


class _Recorder:
    """Records one module's run, and the truth with it."""

    def __init__(self, settings: RunSettings, module: int, expected: np.ndarray, pulses: np.ndarray):
        self._settings, self._module, self._pulses = settings, module, pulses
        cells = settings.frames_per_train
        self._model: DetectorModel = draw_model(settings.seed, module, cells, settings.common_mode)
        self._exposure = ModuleExposure(
            self._model,
            expected,
            seed=settings.seed,
            run=settings.run,
            module=module,
            photon_energy=settings.photon_energy,
            gain_mode=settings.gain_mode,
            common_mode=settings.common_mode,
        )
        self._photons = no_photons()
        self._first: list[np.ndarray] = []

    def write_file(self, folder: Path, part: RunPart, positions: np.ndarray, count: _Count) -> None:
        """Write one sequence."""
        settings = self._settings
        silent = [position for module, position in settings.lost_data if module == self._module]
        frames = np.where(np.isin(positions, silent), 0, settings.frames_per_train)
        with raw_file_writer(folder, JUNGFRAU, settings.karabo_id, self._module, part, frames) as writer:
            for position, n_frames in zip(positions.tolist(), frames, strict=True):
                if n_frames:
                    self._write_train(writer, position)
                count.one_more()

    def _write_train(self, writer: RawFileWriter, position: int) -> None:
        settings = self._settings
        adc, code, photons = self._exposure.train(position, settings.cell_indices, self._pulses[position])
        values = self._frame_values(position)
        lost = [frame for *train, frame in settings.lost_frames if train == [self._module, position]]
        for images in (adc, code):
            images[lost] = 0
        for name in values:
            values[name][0, lost] = MISSING_CELL if name == "memoryCell" else 0
        writer.append({"adc": adc[None], "gain": code[None]}, values)
        for frame in np.setdiff1d(np.arange(len(adc)), lost):
            truth = self._photons
            kernels.accumulate(
                photons[frame], adc[frame], code[frame], truth.frames, truth.photons, truth.saturated
            )
        if len(self._first) < FIRST_FRAMES:
            self._first.extend(photons[: FIRST_FRAMES - len(self._first)].astype("u4"))

    def _frame_values(self, position: int) -> dict[str, np.ndarray]:
        settings = self._settings
        frame = np.arange(settings.frames_per_train)
        seconds = settings.timestamps_ns(np.array([position]))[0] / 1e9
        # Read-out takes about as long again as a short exposure: 10 us.
        values = {
            "memoryCell": settings.memory_cells,
            "frameNumber": 1 + position * settings.frames_per_train + frame,
            "bunchId": settings.train_ids(np.full(frame.shape, position)),
            "timestamp": seconds + frame * (settings.exposure_us + 10) * 1e-6,
        }
        return {name: array.astype(JUNGFRAU.frame_keys[name])[None] for name, array in values.items()}

    def write_truth(self, target: Path) -> None:
        photons = replace(
            self._photons, first=np.array(self._first, "u4").reshape(-1, *JUNGFRAU.module_shape)
        )
        facts = {
            name: value if isinstance(value, int | float | str) else str(value)
            for name, value in asdict(self._settings).items()
        }
        write_truth(target, self._model.truth, photons, {**facts, "module": self._module})


def _parts(settings: RunSettings) -> Iterator[tuple[RunPart, np.ndarray]]:
    """The run's sequences with the positions of their trains."""
    positions = settings.positions
    n_parts = -(-len(positions) // settings.trains_per_sequence)
    for sequence in range(n_parts):
        first = sequence * settings.trains_per_sequence
        own = positions[first : first + settings.trains_per_sequence]
        ids, stamps = settings.train_ids(own), settings.timestamps_ns(own)
        yield RunPart(settings.run, sequence, ids, stamps, sample=SAMPLE), own


def _pulse_energies(settings: RunSettings) -> np.ndarray:
    """Energy of each pulse in units of the mean, the same for all modules: f8 (train, frame).

    Gamma distributed: never negative, as the energy of a chaotic source.
    """
    frames, jitter = settings.frames_per_train, settings.pulse_jitter
    if not jitter:
        return np.ones((settings.trains, frames))
    generators = (generator(settings.seed, Stream.PULSES, settings.run, i) for i in range(settings.trains))
    return np.array([rng.gamma(jitter**-2, jitter**2, frames) for rng in generators])


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
