"""What a simulated JUNGFRAU run is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibook.detectors.jungfrau import CELLS_BURST, JUNGFRAU
from calibook.simulation.settings import RunSettings

# Lowest and highest stage of each gain mode of the control device. The device
# refuses "fixg0".
STAGES = {
    "dynamic": (0, 2),
    "forceswitchg1": (1, 2),
    "forceswitchg2": (2, 2),
    "fixg1": (1, 1),
    "fixg2": (2, 2),
}

# Bursts start at the last cell, as the control device has it by default.
STORAGE_CELL_START = 15


@dataclass(frozen=True, kw_only=True)
class JungfrauSettings(RunSettings):
    """A JUNGFRAU run. Raises BadParameter for values that make no sense.

    Rings of 150 photons of 9.3 keV populate all gain stages. A pixel saturates
    at 129 MeV, 13900 photons of 9.3 keV. The memory cell of a lost frame is 255.

    modules: number of modules; they are 1, 2, ...
    gain_mode: "dynamic", "forceswitchg1", "forceswitchg2", "fixg1" or "fixg2"
    burst: 16 memory cells per train instead of one
    exposure_us: integration time
    """

    modules: int = 2
    gain_mode: str = "dynamic"
    burst: bool = False
    karabo_id: str = "FXE_XAD_JF1M"
    bias_voltage: int = 180
    exposure_us: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(modules=1)
        self._one_of("gain_mode", STAGES)
        self._above_zero("exposure_us")

    @property
    def module_numbers(self) -> range:
        """Numbers of the modules, as in their source names."""
        return range(JUNGFRAU.first_module, JUNGFRAU.first_module + self.modules)

    @property
    def pulses(self) -> int:
        return self.frames_per_train

    @property
    def frames_per_train(self) -> int:
        return CELLS_BURST if self.burst else 1

    @property
    def memory_cells(self) -> np.ndarray:
        """Storage cell of each frame of a train: 15, 0, 1, ... in a burst; u1 (frame,).

        The only cell of single-cell mode has its true number, too: 15.
        """
        first = STORAGE_CELL_START
        return ((first + np.arange(self.frames_per_train)) % CELLS_BURST).astype("u1")

    @property
    def cell_indices(self) -> np.ndarray:
        """Where the constants of each frame's cell are: 0 if there is one cell."""
        return self.memory_cells if self.burst else np.zeros(1, "u1")

    def control_values(self) -> dict[str, Any]:
        """Values of the control device, by key."""
        return {
            "exposureTime": np.float32(self.exposure_us * 1e-6),
            "exposureTimeout": np.uint32(25),
            "gainMode": self.gain_mode,
            "highVoltage": np.array([self.bias_voltage], "u4"),
            "settings": "gain0",
            "storageCellStart": np.int16(STORAGE_CELL_START),
            "storageCells": np.int16(self.frames_per_train - 1),
        }
