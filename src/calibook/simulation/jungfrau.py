"""Simulated JUNGFRAU runs: photons to raw files, with the truth beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from calibook.detectors.jungfrau import JUNGFRAU
from calibook.runs.raw_writer import RawFileWriter, RunPart, raw_file_writer, write_control_file
from calibook.simulation import jungfrau_kernels as kernels
from calibook.simulation.jungfrau_exposure import ModuleExposure
from calibook.simulation.jungfrau_model import DetectorModel, draw_model
from calibook.simulation.jungfrau_scenes import expected_photons
from calibook.simulation.jungfrau_settings import JungfrauSettings
from calibook.simulation.jungfrau_truth import no_photons
from calibook.simulation.pulses import pulse_energies
from calibook.simulation.recording import Count, Progress, record_run, settings_as_facts
from calibook.simulation.truth_files import write_truth

FIRST_FRAMES = 4
"""Frames whose true photons are kept one by one."""

MISSING_CELL = 255


def simulate_run(
    out_folder: Path | str, settings: JungfrauSettings, progress: Progress | None = None, workers: int = 1
) -> list[Path]:
    """Write a raw run and its truth; see `recording.record_run` for what goes where."""
    modules = settings.module_numbers
    scene = expected_photons(settings.scene, settings.modules, settings.intensity, settings.double_size)
    pulses = pulse_energies(settings)

    def write_control(folder: Path, part: RunPart) -> Path:
        return write_control_file(folder, JUNGFRAU, settings.karabo_id, part, settings.control_values())

    return record_run(
        out_folder,
        settings,
        JUNGFRAU,
        modules,
        lambda module: _Recorder(settings, module, scene[module - modules[0]], pulses),
        write_control,
        progress,
        workers,
    )


class _Recorder:
    """Records one module's run, and the truth with it."""

    def __init__(self, settings: JungfrauSettings, module: int, expected: np.ndarray, pulses: np.ndarray):
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

    def write_file(self, folder: Path, part: RunPart, positions: np.ndarray, count: Count) -> None:
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
        """Write the truth, after all sequences."""
        photons = replace(
            self._photons, first=np.array(self._first, "u4").reshape(-1, *JUNGFRAU.module_shape)
        )
        facts = {**settings_as_facts(self._settings), "module": self._module}
        write_truth(target, JUNGFRAU.name, self._model.truth, photons, facts)
