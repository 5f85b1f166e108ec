"""Simulated AGIPD runs: photons to raw files, with the truth beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibook.runs.raw_writer import RawFileWriter, RunPart, raw_file_writer, write_control_file
from calibook.runs.xtdf import xtdf_groups
from calibook.simulation.agipd_exposure import AgipdExposure
from calibook.simulation.agipd_model import draw_truth
from calibook.simulation.agipd_scenes import expected_photons
from calibook.simulation.agipd_settings import AgipdSettings
from calibook.simulation.agipd_sums import PhotonCounter
from calibook.simulation.pulses import pulse_energies
from calibook.simulation.recording import Count, Progress, record_run, settings_as_facts
from calibook.simulation.truth_files import write_truth

DETECTOR_BLOCK_BYTES = 5408


def simulate_run(
    out_folder: Path | str, settings: AgipdSettings, progress: Progress | None = None, workers: int = 1
) -> list[Path]:
    """Write a raw run and its truth; see `recording.record_run` for what goes where."""
    scene = expected_photons(settings.detector, settings.scene, settings.intensity, settings.double_size)
    pulses = pulse_energies(settings)

    def write_control(folder: Path, part: RunPart) -> Path:
        return write_control_file(
            folder,
            settings.detector,
            settings.karabo_id_control,
            part,
            settings.composite_values(),
            settings.voltage_values(),
        )

    return record_run(
        out_folder,
        settings,
        settings.detector,
        sorted(settings.modules),
        lambda module: _Recorder(settings, module, scene[module], pulses),
        write_control,
        progress,
        workers,
    )


class _Recorder:
    """Records one module's run, and the truth with it."""

    def __init__(self, settings: AgipdSettings, module: int, expected: np.ndarray, pulses: np.ndarray):
        self._settings, self._module, self._pulses = settings, module, pulses
        self._truth = draw_truth(
            settings.seed,
            module,
            settings.memory_cells,
            fixed_gain=settings.gain_mode.startswith("fixed"),
            common_mode=settings.common_mode,
        )
        self._exposure = AgipdExposure(settings, module, self._truth, expected)
        self._counter = PhotonCounter(settings.photon_energy, settings.truth_frames)

    def write_file(self, folder: Path, part: RunPart, positions: np.ndarray, count: Count) -> None:
        """Write one sequence."""
        settings, module = self._settings, self._module
        silent = [position for number, position in settings.lost_data if number == module]
        cells = {
            position: settings.cells_of(position)[: 0 if position in silent else None]
            for position in positions.tolist()
        }
        frames = np.array([len(of_train) for of_train in cells.values()])
        groups = xtdf_groups(part.train_ids, frames, module, DETECTOR_BLOCK_BYTES)
        with raw_file_writer(
            folder, settings.detector, settings.karabo_id, module, part, frames, groups
        ) as writer:
            for position, of_train in cells.items():
                if len(of_train):
                    self._write_train(writer, position, of_train)
                count.one_more()

    def _write_train(self, writer: RawFileWriter, position: int, cells: np.ndarray) -> None:
        train = self._exposure.train(position, cells, self._pulses[position])
        lost = np.zeros(len(cells), bool)
        lost[[frame for *who, frame in self._settings.lost_frames if who == [self._module, position]]] = True
        train.planes[lost] = 0
        values = self._frame_values(position, cells)
        writer.append({"data": train.planes}, values)
        train_ids = values["trainId"][:, 0]
        self._counter.add(train, cells, train_ids, self._pulses[position][cells], lost)

    def _frame_values(self, position: int, cells: np.ndarray) -> dict[str, np.ndarray]:
        keys, n = self._settings.detector.frame_keys, len(cells)
        values = {
            "cellId": cells,
            "pulseId": self._settings.pulse_ids(cells),
            "trainId": self._settings.train_ids(np.full(n, position)),
            "length": np.full(n, 2 * 2 * np.prod(self._settings.detector.module_shape)),
            "status": np.zeros(n),
        }
        return {name: array.astype(keys[name])[:, None] for name, array in values.items()}

    def write_truth(self, target: Path) -> None:
        """Write the truth, after all sequences."""
        facts = {**settings_as_facts(self._settings), "module": self._module}
        write_truth(target, "agipd", self._truth, self._counter.truth(), facts)
