"""Small raw runs of AGIPD: full layout, small frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from raw_runs import part

from calibook.detectors.agipd import AGIPD
from calibook.runs.raw_writer import raw_file_writer, write_control_file

KARABO_ID = "SPB_DET_AGIPD1M-1"
CONTROL = "SPB_IRU_AGIPD1M1"
SUPPLY = "SPB_IRU_AGIPD1M/PSC/HV"
SMALL = replace(AGIPD, module_shape=(16, 32))

COMPOSITE_VALUES = {
    "bunchStructure.nPulses": np.int32(352),
    "bunchStructure.repetitionRate": np.float64(2.2),
    "gain": np.int32(1),
    "gainModeIndex": np.int32(0),
    "integrationTime": np.int32(12),
}
SUPPLY_VALUES = {f"channels.U{module}.voltage": np.float32(300.4) for module in range(16)}


@dataclass(frozen=True)
class MadeFile:
    """A raw file and what was put into it: data (N, 2, slow, fast), cells (N,), pulses (N,)."""

    path: Path
    detector: object
    data: np.ndarray
    cells: np.ndarray
    pulses: np.ndarray


def make_file(
    folder: Path, counts: list[int], module: int = 0, sequence: int = 0, detector=SMALL, step: int = 2
) -> MadeFile:
    """Random numbers; counts: frames of each train."""
    rng = np.random.default_rng([module, sequence])
    n = sum(counts)
    data = rng.integers(0, 1 << 14, (n, 2, *detector.module_shape), dtype="u2")
    recorded = part(len(counts), sequence)
    number = np.concatenate([np.arange(count) for count in counts] or [np.zeros(0)])
    cells, pulses = (number * 3 + 1).astype("u2"), (number * step).astype("u8")
    values = {
        "cellId": cells,
        "pulseId": pulses,
        "trainId": np.repeat(recorded.train_ids, counts).astype("u8"),
        "length": np.full(n, data[:1].nbytes, "u4"),
        "status": np.zeros(n, "u2"),
    }
    with raw_file_writer(folder, detector, KARABO_ID, module, recorded, np.array(counts)) as writer:
        writer.append({"data": data}, {key: value[:, None] for key, value in values.items()})
    path = recorded.path(folder, detector.aggregator.format(module=module))
    return MadeFile(path, detector, data, cells, pulses)


def make_control(folder: Path, values: dict | None = None, supply: dict | None = None) -> Path:
    """The composite device and the supply of high voltage in one file."""
    values = COMPOSITE_VALUES if values is None else values
    others = {SUPPLY: SUPPLY_VALUES} if supply is None else supply
    return write_control_file(folder, AGIPD, CONTROL, part(6), values, others)
