"""What a simulated run is like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from calibook.detectors.jungfrau import CELLS_BURST
from calibook.errors import BadParameter
from calibook.simulation.scenes import SCENES

# Runs start ten minutes apart, so that their trains have IDs of their own.
FIRST_RUN = datetime(2025, 1, 1, tzinfo=UTC)
RUN_SPACING = timedelta(minutes=10)
# Trains come with 10 Hz and are counted from here.
TRAIN_ZERO = datetime(2018, 1, 1, tzinfo=UTC)
TRAIN_PERIOD_NS = 100_000_000
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


@dataclass(frozen=True)
class RunSettings:
    """A JUNGFRAU run. Raises BadParameter for values that make no sense.

    modules: number of modules; they are 1, 2, ...
    seed: fixes the detector (for all runs) and, with the run number, the frames
    scene: "dark", "flat" or "rings"
    gain_mode: "dynamic", "forceswitchg1", "forceswitchg2", "fixg1" or "fixg2"
    burst: 16 memory cells per train instead of one
    photon_energy: keV
    intensity: photons per pixel and pulse, mean over the detector. Rings of
        150 photons of 9.3 keV populate all gain stages. A pixel saturates at
        129 MeV, 13900 photons of 9.3 keV.
    pulse_jitter: standard deviation of the pulse energy, relative to its mean
    start: time of the first train (UTC if without zone); None for a date that
        follows from the run number
    exposure_us: integration time
    common_mode: shifts of ADCs and ASICs from frame to frame
    double_size: wide pixels at the chip borders collect 2 or 4 times as much
    lost_trains: positions (from 0) of trains that the run lacks altogether
    lost_data: (module, position) of trains for which a module sent nothing
    lost_frames: (module, position, frame) of single frames that were lost:
        their pixels are 0 and their memory cell is 255
    """

    run: int
    trains: int
    modules: int = 2
    seed: int = 0
    scene: str = "rings"
    gain_mode: str = "dynamic"
    burst: bool = False
    photon_energy: float = 9.3
    intensity: float = 150.0
    pulse_jitter: float = 0.1
    start: datetime | None = None
    karabo_id: str = "FXE_XAD_JF1M"
    trains_per_sequence: int = 500
    bias_voltage: int = 180
    exposure_us: float = 10.0
    common_mode: bool = True
    double_size: bool = True
    lost_trains: tuple[int, ...] = ()
    lost_data: tuple[tuple[int, int], ...] = ()
    lost_frames: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        for name, lowest in {
            "run": 0,
            "trains": 1,
            "modules": 1,
            "seed": 0,
            "trains_per_sequence": 1,
        }.items():
            if getattr(self, name) < lowest:
                raise BadParameter(f"{name}={getattr(self, name)}: has to be at least {lowest}")
        for name, choices in (("scene", tuple(SCENES)), ("gain_mode", tuple(STAGES))):
            if getattr(self, name) not in choices:
                raise BadParameter(f"{name}={getattr(self, name)!r}: not one of {', '.join(choices)}")
        for name in ("photon_energy", "exposure_us"):
            if not 0 < getattr(self, name) < np.inf:
                raise BadParameter(f"{name}={getattr(self, name)}: has to be above 0")
        if not 0 <= self.pulse_jitter <= 1:
            raise BadParameter(f"pulse_jitter={self.pulse_jitter}: has to be in 0..1")
        if not self.positions.size:
            raise BadParameter("lost_trains: no train is left")

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

    @property
    def positions(self) -> np.ndarray:
        """Positions, from 0, of the trains that were recorded."""
        return np.setdiff1d(np.arange(self.trains), self.lost_trains)

    @property
    def start_ns(self) -> int:
        """Time of the first train, ns since 1970 UTC."""
        start = self.start or FIRST_RUN + self.run * RUN_SPACING
        if start.tzinfo is None:
            start = start.replace(tzinfo=UTC)
        since_1970 = start - datetime(1970, 1, 1, tzinfo=UTC)
        return since_1970 // timedelta(microseconds=1) * 1000

    def timestamps_ns(self, positions: np.ndarray) -> np.ndarray:
        """u8, ns since 1970 UTC."""
        return (self.start_ns + positions * TRAIN_PERIOD_NS).astype("u8")

    def train_ids(self, positions: np.ndarray) -> np.ndarray:
        """u8, counted in 10 Hz since 2018."""
        zero = int(TRAIN_ZERO.timestamp()) * 10**9
        return ((self.start_ns - zero) // TRAIN_PERIOD_NS + positions).astype("u8")

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
