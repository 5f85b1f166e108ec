"""What a simulated AGIPD run is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibook.detectors.agipd import AGIPD, AGIPD_500K, MEMORY_CELLS
from calibook.detectors.base import Detector
from calibook.errors import BadParameter
from calibook.simulation.settings import RunSettings
from calibook.simulation.streams import Stream, generator

# Lowest and highest stage, and the number of the gain mode in the control device.
STAGES = {
    "adaptive": (0, 2, 0),
    "forced-medium": (1, 2, 0),
    "forced-low": (2, 2, 0),
    "fixed-high": (0, 0, 1),
    "fixed-medium": (1, 1, 2),
    "fixed-low": (2, 2, 3),
}
PULSE_STRIDES = {4.5: 1, 2.2: 2, 1.1: 4, 0.5: 8}
"""Slots of 4.5 MHz from one pulse to the next, by acquisition rate in MHz."""
_SLOTS = 2700
PULSED_ROWS = 8
"""In a scan of the pulsed capacitor every eighth row is pulsed; eight runs make a full scan."""
NO_SCAN = -1

_MODULES = {AGIPD.name: 16, AGIPD_500K.name: 8}
_KARABO_ID = {AGIPD.name: "SPB_DET_AGIPD1M-1", AGIPD_500K.name: "HED_DET_AGIPD500K2G"}
_KARABO_ID_CONTROL = {AGIPD.name: "SPB_IRU_AGIPD1M1", AGIPD_500K.name: "HED_EXP_AGIPD500K2G"}
# The older device told the gain setting by these: (setup without forced gain, with it).
_SETUP = {0: (32, 0), 1: (40, 8)}
_PATTERN_DATA = 4


@dataclass(frozen=True, kw_only=True)
class AgipdSettings(RunSettings):
    """An AGIPD run. Raises BadParameter for values that make no sense.

    A pixel leaves the high stage at 430 keV, 46 photons of 9.3 keV, and the
    medium one at 18 MeV, 1970 photons; it saturates at 170 MeV. `intensity` is
    the mean over the whole detector, whatever modules are recorded.

    modules: numbers of the recorded modules, of 0..15 (0..7 if half_size)
    half_size: the 500K detector of the second generation instead of the 1M one
    karabo_id, karabo_id_control: names of the detector and of its control devices;
        those of an existing detector if empty
    memory_cells: one of `detectors.agipd.MEMORY_CELLS`
    acquisition_rate: of pulses within a train: 4.5, 2.2, 1.1 or 0.5 MHz
    fewest_frames: 0 to record all cells of each train; else each train has a random number
        of frames, this or more, from random cells
    gain_mode: a key of STAGES. Forced modes are for darks
    gain_setting, integration_time, bias_voltage: as the control devices tell them
    scan_row: NO_SCAN (-1), or 0..7: a run of a scan of the pulsed capacitor, in which train n
        has n pulses injected into rows scan_row, scan_row + 8, ...; the scene has to be "dark"
    baseline_shift: the more charge an ASIC has, the lower are its pixels in the high stage
    snow: pixels in the high stage that look as in another; not in the dark
    charge_sharing: photons near a pixel's edge are shared with its neighbours
    drift: of the offset from the run's first to its last train, ADU
    beta_share: share of photons of the K-beta line, as of a copper foil whose K-alpha
        line has the photon energy
    truth_frames: frames whose true photons and stages are kept one by one
    """

    modules: tuple[int, ...] = (0, 1)
    half_size: bool = False
    karabo_id: str = ""
    karabo_id_control: str = ""
    trains_per_sequence: int = 250
    memory_cells: int = 64
    acquisition_rate: float = 1.1
    fewest_frames: int = 0
    gain_mode: str = "adaptive"
    gain_setting: int = 0
    integration_time: int = 12
    bias_voltage: int = 300
    scan_row: int = NO_SCAN
    baseline_shift: bool = True
    snow: bool = True
    charge_sharing: bool = True
    drift: float = 0.0
    beta_share: float = 0.0
    truth_frames: int = 64

    def __post_init__(self) -> None:
        for name, values in (("karabo_id", _KARABO_ID), ("karabo_id_control", _KARABO_ID_CONTROL)):
            object.__setattr__(self, name, getattr(self, name) or values[self.detector.name])
        super().__post_init__()
        self._at_least(fewest_frames=0, truth_frames=0, scan_row=NO_SCAN)
        self._one_of("memory_cells", MEMORY_CELLS)
        self._one_of("acquisition_rate", PULSE_STRIDES)
        self._one_of("gain_mode", STAGES)
        self._one_of("gain_setting", _SETUP)
        self._check_modules()
        self._check_pulses()
        self._check_lost()
        if not 0 <= self.beta_share <= 1:
            raise BadParameter(f"beta_share={self.beta_share}: has to be in 0..1")
        if not abs(self.drift) <= 1000:
            raise BadParameter(f"drift={self.drift}: has to be in -1000..1000 ADU")

    def _check_modules(self) -> None:
        known = range(_MODULES[self.detector.name])
        if not self.modules or len({*self.modules}) < len(self.modules) or not {*self.modules} <= {*known}:
            raise BadParameter(f"modules={self.modules}: has to be different numbers in 0..{known[-1]}")

    def _check_pulses(self) -> None:
        if self.fewest_frames > self.memory_cells:
            raise BadParameter(
                f"fewest_frames={self.fewest_frames}: more than the {self.memory_cells} memory cells"
            )
        if (self.memory_cells - 1) * PULSE_STRIDES[self.acquisition_rate] >= _SLOTS:
            raise BadParameter(
                f"memory_cells={self.memory_cells} with acquisition_rate={self.acquisition_rate}: "
                "a train is too short for it"
            )
        if self.scan_row >= PULSED_ROWS:
            raise BadParameter(f"scan_row={self.scan_row}: has to be below {PULSED_ROWS}")
        if self.is_scan and self.scene != "dark":
            raise BadParameter(f"scene={self.scene!r}: scans of the pulsed capacitor (scan_row) are dark")

    def _check_lost(self) -> None:
        for name in ("lost_data", "lost_frames"):
            for module, position, *frame in getattr(self, name):
                there = module in self.modules and position < self.trains
                if not there or any(number >= self.memory_cells for number in frame):
                    raise BadParameter(
                        f"{name}={':'.join(map(str, (module, position, *frame)))}: the run has modules "
                        f"{', '.join(map(str, self.modules))}, trains 0 to {self.trains - 1} and frames 0 to "
                        f"{self.memory_cells - 1} of each"
                    )

    @property
    def detector(self) -> Detector:
        """AGIPD 1M or 500K."""
        return AGIPD_500K if self.half_size else AGIPD

    @property
    def is_scan(self) -> bool:
        """Whether the run belongs to a scan of the pulsed capacitor."""
        return self.scan_row != NO_SCAN

    @property
    def pulses(self) -> int:
        return self.memory_cells

    def cells_of(self, position: int) -> np.ndarray:
        """Memory cells of the frames of a train, the same for all modules: i8 (frame,), increasing."""
        if not self.fewest_frames:
            return np.arange(self.memory_cells)
        rng = generator(self.seed, Stream.CHOICE, self.run, position)
        n = rng.integers(self.fewest_frames, self.memory_cells + 1)
        return np.sort(rng.choice(self.memory_cells, n, replace=False))

    def pulse_ids(self, cells: np.ndarray) -> np.ndarray:
        """Slots of 4.5 MHz in which the cells were exposed: u8."""
        return (cells * PULSE_STRIDES[self.acquisition_rate]).astype("u8")

    def composite_values(self) -> dict[str, Any]:
        """Values of the composite control device, by key."""
        lowest, _, mode = STAGES[self.gain_mode]
        forced = self.gain_mode.startswith("forced")
        return {
            "bunchStructure.firstPulse": np.uint16(0),
            "bunchStructure.nPulses": np.uint16(self.memory_cells),
            "bunchStructure.repetitionRate": np.float64(self.acquisition_rate),
            "gain": np.uint16(self.gain_setting),
            "gainModeIndex": np.uint16(mode),
            "integrationTime": np.uint16(self.integration_time),
            "patternTypeIndex": np.uint16(1 + lowest if forced else _PATTERN_DATA),
            "pcRowNr": np.uint16(max(self.scan_row, 0)),
            "setupr": np.uint16(_SETUP[self.gain_setting][forced]),
        }

    def voltage_values(self) -> dict[str, dict[str, Any]]:
        """Values of the devices that tell the bias voltage: {device: {key: value}}."""
        modules = range(_MODULES[self.detector.name])
        if self.half_size:
            values = {"highVoltage.actual": np.uint16(self.bias_voltage)}
            values["highVoltage.target"] = np.uint16(self.bias_voltage)
            return {f"{self.karabo_id_control}/FPGA/M_{module}": values for module in modules}
        voltage = np.float32(self.bias_voltage)
        return {
            f"{self.karabo_id_control[:-1]}/PSC/HV": {
                f"channels.U{module}.{key}": voltage
                for module in modules
                for key in ("measurementSenseVoltage", "voltage")
            }
        }
