"""Raw runs of given frames, in the facility's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from commands import KARABO_ID

from calibook.detectors.jungfrau import ADC_MAX, JUNGFRAU
from calibook.runs.names import run_folder_name
from calibook.runs.raw_writer import RunPart, raw_file_writer, write_control_file
from calibook.simulation.settings import RunSettings

SEQUENCE_TRAINS = 1000  # train IDs of a sequence begin that much after those of the one before


def split_words(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ADC u2 and gain code u1 of 16-bit words that hold both."""
    return words & np.uint16(ADC_MAX), (words >> 14).astype("u1")


def part_of(run: int, trains: int, sequence: int = 0) -> RunPart:
    """Trains of a sequence, as a simulated run has them."""
    settings = RunSettings(run=run, trains=(sequence + 1) * SEQUENCE_TRAINS)
    positions = sequence * SEQUENCE_TRAINS + np.arange(trains)
    return RunPart(run, sequence, settings.train_ids(positions), settings.timestamps_ns(positions))


def write_module(
    raw: Path,
    run: int,
    adc: np.ndarray,
    code: np.ndarray,
    *,
    module: int = 1,
    sequence: int = 0,
    repeat: int = 1,
) -> Path:
    """One raw file with one frame per train, and the run's control file; the path of the former.

    adc: u2, code: u1 (train, slow_scan, fast_scan); taken `repeat` times
    """
    folder = raw / run_folder_name(run)
    trains = len(adc)
    part = part_of(run, trains * repeat, sequence)
    with raw_file_writer(folder, JUNGFRAU, KARABO_ID, module, part, 1) as writer:
        values = {name: np.zeros((trains, 1), dtype) for name, dtype in JUNGFRAU.frame_keys.items()}
        for _ in range(repeat):
            writer.append({"adc": adc[:, None], "gain": code[:, None]}, values)
    if sequence == 0:
        control = RunSettings(run=run, trains=trains).control_values()
        write_control_file(folder, JUNGFRAU, KARABO_ID, part, control)
    return part.path(folder, JUNGFRAU.aggregator.format(module=module))
