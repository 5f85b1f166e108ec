"""What a simulated run is like, for all detectors; each detector adds its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from calibook.errors import BadParameter
from calibook.simulation.scenes import SCENES

# Runs start ten minutes apart, so that their trains have IDs of their own.
FIRST_RUN = datetime(2025, 1, 1, tzinfo=UTC)
RUN_SPACING = timedelta(minutes=10)
# Trains come with 10 Hz and are counted from here.
TRAIN_ZERO = datetime(2018, 1, 1, tzinfo=UTC)
TRAIN_PERIOD_NS = 100_000_000


def places(name: str, texts: Sequence[str], parts: int) -> tuple[tuple[int, ...], ...]:
    """Numbers that are joined by colons: "1:20" of two parts is (1, 20).

    name: of the parameter, for the complaint. Raises BadParameter for anything else.
    """
    found = []
    for text in texts:
        numbers = text.split(":")
        if len(numbers) != parts or not all(number.strip().isdecimal() for number in numbers):
            raise BadParameter(
                f"{name}={text!r}: needs {parts} numbers with colons between, e.g. {_EXAMPLE[parts]}"
            )
        found.append(tuple(map(int, numbers)))
    return tuple(found)


_EXAMPLE = {2: "1:20 for module 1, train 20", 3: "1:20:5 for module 1, train 20, frame 5"}


@dataclass(frozen=True, kw_only=True)
class RunSettings(ABC):
    """A run. Raises BadParameter for values that make no sense.

    seed: fixes the detector (for all runs) and, with the run number, the frames
    scene: what falls on the detector, a key of `scenes.SCENES`
    photon_energy: keV
    intensity: photons per pixel and pulse, mean over the detector
    pulse_jitter: standard deviation of the pulse energy, relative to its mean
    start: time of the first train (UTC if without zone); None for a date that
        follows from the run number
    common_mode: shifts of the read-out's blocks of pixels from frame to frame
    double_size: wide pixels at the chip borders collect as much more as they are wider
    lost_trains: positions (from 0) of trains that the run lacks altogether
    lost_data: (module, position) of trains for which a module sent nothing
    lost_frames: (module, position, frame) of single frames whose pixels are all 0
    """

    run: int
    trains: int
    seed: int = 0
    scene: str = "rings"
    photon_energy: float = 9.3
    intensity: float = 150.0
    pulse_jitter: float = 0.1
    start: datetime | None = None
    karabo_id: str
    trains_per_sequence: int = 500
    common_mode: bool = True
    double_size: bool = True
    lost_trains: tuple[int, ...] = ()
    lost_data: tuple[tuple[int, ...], ...] = ()
    lost_frames: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        self._at_least(run=0, trains=1, seed=0, trains_per_sequence=1)
        self._one_of("scene", SCENES)
        self._above_zero("photon_energy")
        if not 0 <= self.pulse_jitter <= 1:
            raise BadParameter(f"pulse_jitter={self.pulse_jitter}: has to be in 0..1")
        if not self.positions.size:
            raise BadParameter("lost_trains: no train is left")

    def _at_least(self, **lowest: int) -> None:
        for name, value in lowest.items():
            if getattr(self, name) < value:
                raise BadParameter(f"{name}={getattr(self, name)}: has to be at least {value}")

    def _one_of(self, name: str, choices: Iterable[Any]) -> None:
        known = list(choices)
        if getattr(self, name) not in known:
            raise BadParameter(f"{name}={getattr(self, name)!r}: not one of {', '.join(map(str, known))}")

    def _above_zero(self, *names: str) -> None:
        for name in names:
            if not 0 < getattr(self, name) < np.inf:
                raise BadParameter(f"{name}={getattr(self, name)}: has to be above 0")

    @property
    @abstractmethod
    def pulses(self) -> int:
        """Pulses of a train."""

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
