"""Raw runs of given frames, in the facility's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from commands import KARABO_ID

from calibook.detectors.jungfrau import ADC_MAX, JUNGFRAU
from calibook.runs.names import run_folder_name
from calibook.runs.raw_writer import RunPart, raw_file_writer, write_control_file

# As simulated runs have them, so that the constants of the one serve the other.
CONTROL = {
    "exposureTime": np.float32(10e-6),
    "exposureTimeout": np.uint32(25),
    "gainMode": "dynamic",
    "highVoltage": np.array([180], "u4"),
    "settings": "gain0",
    "storageCells": np.int16(0),
}
FIRST_TRAIN, START_NS = 2_000_000_000, 1_735_800_000 * 10**9  # 2025-01-02, a day after simulated runs
SEQUENCE_TRAINS = 1000  # trains from the start of a sequence to that of the next


def split_words(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ADC u2 and gain code u1 of 16-bit words that hold both."""
    return words & np.uint16(ADC_MAX), (words >> 14).astype("u1")


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
    folder, trains = raw / run_folder_name(run), len(adc)
    numbers = sequence * SEQUENCE_TRAINS + np.arange(trains * repeat, dtype="u8")
    part = RunPart(run, sequence, FIRST_TRAIN + numbers, START_NS + numbers * 100_000_000)
    with raw_file_writer(folder, JUNGFRAU, KARABO_ID, module, part, 1) as writer:
        values = {name: np.zeros((trains, 1), dtype) for name, dtype in JUNGFRAU.frame_keys.items()}
        for _ in range(repeat):
            writer.append({"adc": adc[:, None], "gain": code[:, None]}, values)
    if sequence == 0:
        write_control_file(folder, JUNGFRAU, KARABO_ID, part, CONTROL)
    return part.path(folder, JUNGFRAU.aggregator.format(module=module))
