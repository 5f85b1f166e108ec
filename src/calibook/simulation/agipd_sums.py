"""Keeps account of what truly happened while an AGIPD module is recorded."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from calibook.simulation import agipd_kernels as kernels
from calibook.simulation.agipd_exposure import Train
from calibook.simulation.agipd_truth import ASICS, MODULE_SHAPE, AgipdPhotons

# Of the fields that grow frame by frame: dtype, and axes after the frame's.
_GROWING: dict[str, tuple[str, tuple[int, ...]]] = {
    "cell": ("u2", ()),
    "train_id": ("u8", ()),
    "lost": ("u1", ()),
    "pulse_energy": ("f4", ()),
    "drift": ("f4", ()),
    "asic_shift": ("f4", (ASICS,)),
    "baseline_shift": ("f4", (ASICS,)),
    "first_photons": ("u4", MODULE_SHAPE),
    "first_charge": ("f4", MODULE_SHAPE),
    "first_stage": ("u1", MODULE_SHAPE),
    "first_snow": ("u1", MODULE_SHAPE),
}


class PhotonCounter:
    """Adds up trains to an `AgipdPhotons`.

    per_photon: keV
    first_frames: how many frames are kept one by one
    """

    def __init__(self, per_photon: float, first_frames: int):
        self._per_photon, self._first_frames = per_photon, first_frames
        self._frames, self._photons = np.zeros((3, *MODULE_SHAPE), "u4"), np.zeros((3, *MODULE_SHAPE))
        self._saturated, self._snow = np.zeros((2, *MODULE_SHAPE), "u4")
        self._growing: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(
        self, train: Train, cells: np.ndarray, train_ids: np.ndarray, energies: np.ndarray, lost: np.ndarray
    ) -> None:
        """Take a train.

        cells, train_ids, energies: (frame,), memory cells, IDs and energies of the pulses
        lost: bool (frame,), frames that don't count
        """
        for frame in np.flatnonzero(~lost):
            kernels.accumulate(
                train.charge[frame],
                self._per_photon,
                train.stages[frame],
                train.pretended[frame],
                train.planes[frame, 0],
                self._frames,
                self._photons,
                self._saturated,
                self._snow,
            )
        n = self._first_frames - sum(len(part) for part in self._growing["first_stage"])
        growing = {
            "cell": cells,
            "train_id": train_ids,
            "lost": lost,
            "pulse_energy": energies,
            "drift": np.full(len(cells), train.drift),
            "asic_shift": train.asic_shift,
            "baseline_shift": train.baseline_shift,
            "first_photons": train.photons[:n],
            "first_charge": train.charge[:n] / np.float32(self._per_photon),
            "first_stage": train.stages[:n],
            "first_snow": train.pretended[:n],
        }
        for name, values in growing.items():
            self._growing[name].append(values.astype(_GROWING[name][0]))

    def truth(self) -> AgipdPhotons:
        """All that was added so far."""
        growing = {
            name: np.concatenate([np.zeros((0, *shape), dtype), *self._growing[name]])
            for name, (dtype, shape) in _GROWING.items()
        }
        return AgipdPhotons(
            frames=self._frames,
            photons=self._photons,
            saturated=self._saturated,
            snow=self._snow,
            **growing,
        )
