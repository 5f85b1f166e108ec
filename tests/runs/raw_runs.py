"""Small raw runs: full layout, small frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from calibook.detectors.base import Detector
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.runs.raw_writer import RunPart, raw_file_writer, write_control_file

KARABO_ID = "FXE_XAD_JF1M"
START_NS = 1_700_000_000_123_456_789
FIRST_TRAIN = 10_000
CONTROL_VALUES = {
    "highVoltage": np.array([180, 180], "u4"),
    "storageCells": np.int16(15),
    "exposureTime": np.float32(10e-6),
    "exposureTimeout": np.uint32(25),
    "settings": "highgain0",
    "gainMode": "fixg1",
}

# The same detector with frames of 8 kB, where the size of a frame is of no interest.
SMALL = replace(JUNGFRAU, module_shape=(32, 64))


def part(trains: int, sequence: int = 0, run: int = 4) -> RunPart:
    """The given number of trains, ten per second."""
    numbers = np.arange(trains, dtype="u8")
    return RunPart(run, sequence, FIRST_TRAIN + numbers, START_NS + numbers * 100_000_000, proposal=700000)


@dataclass(frozen=True)
class MadeFile:
    """A raw file and what was put into it: adc, gain (T, F, slow, fast), cells (T, F)."""

    path: Path
    detector: Detector
    adc: np.ndarray
    gain: np.ndarray
    cells: np.ndarray
    karabo_id: str = KARABO_ID

    @property
    def data(self) -> str:
        """Path of the group with the datasets."""
        name = self.path.name.split("-")[2]
        return f"INSTRUMENT/{self.karabo_id}/DET/{name}:daqOutput/data"

    @property
    def index(self) -> str:
        """Path of the group with first and count."""
        return self.data.replace("INSTRUMENT", "INDEX", 1)


def make_file(
    folder: Path,
    detector: Detector = SMALL,
    module: int = 1,
    trains: int = 6,
    frames: int = 4,
    counts: list[int] | None = None,
    sequence: int = 0,
    karabo_id: str = KARABO_ID,
    run: int = 4,
) -> MadeFile:
    """A raw file of random numbers; `counts` gives the entries (0 or 1) of each train."""
    rng = np.random.default_rng([module, sequence])
    per_train = np.array(counts if counts is not None else [1] * trains) * frames
    shape = (np.count_nonzero(per_train), frames, *detector.module_shape)
    adc = rng.integers(0, 1 << 14, shape, dtype="u2")
    gain = rng.choice(np.array([0, 1, 3], "u1"), shape, p=[0.97, 0.02, 0.01])
    numbers = np.flatnonzero(per_train)[:, None] * frames + np.arange(frames)
    cells = ((15 + numbers) % 16).astype("u1")  # the same in all modules of a train
    values = {
        "memoryCell": cells,
        "frameNumber": numbers.astype("u8"),
        "bunchId": numbers.astype("u8") + 7,
        "timestamp": numbers.astype("f8") / 10,
    }
    recorded = part(len(per_train), sequence, run)
    with raw_file_writer(folder, detector, karabo_id, module, recorded, per_train) as writer:
        writer.append({"adc": adc, "gain": gain}, values)
    name = f"RAW-R{run:04d}-JNGFR{module:02d}-S{sequence:05d}.h5"
    return MadeFile(folder / name, detector, adc, gain, cells, karabo_id)


def make_control(
    folder: Path, values: dict | None = None, karabo_id: str = KARABO_ID, trains: int = 6
) -> Path:
    """A control file with the conditions of CONTROL_VALUES."""
    return write_control_file(
        folder, JUNGFRAU, karabo_id, part(6), CONTROL_VALUES if values is None else values
    )


def replace_dataset(path: Path, name: str, **options) -> None:
    """Store a dataset anew: other data, layout or type."""
    with h5py.File(path, "r+") as f:
        data = options.pop("data", None)
        data = f[name][()] if data is None else data
        del f[name]
        f.create_dataset(name, data=data, **options)
