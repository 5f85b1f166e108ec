"""Frames of one AGIPD module, and the photons, stages and shifts that truly made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibook.detectors.agipd import CELLS_PER_ROW
from calibook.simulation import agipd_kernels as kernels
from calibook.simulation.agipd_model import ASIC_SHIFT_ADU, ROW_SHIFT_ADU
from calibook.simulation.agipd_settings import PULSED_ROWS, STAGES, AgipdSettings
from calibook.simulation.agipd_truth import ASICS, HOOK_ADU, MODULE_SHAPE, NO_CHARGE, STUCK, AgipdTruth
from calibook.simulation.charge import collect
from calibook.simulation.silicon import BINS, lost_at_border
from calibook.simulation.streams import Stream, generator, states

PIXEL_UM, CLOUD_UM = 200.0, 10.0
# Copper: K-beta over K-alpha.
BETA_OVER_ALPHA = 8.905 / 8.048


@dataclass(frozen=True)
class Train:
    """Frames of one train and what they are made of; axis 0 is the frame.

    planes: u2 (frame, 2, slow_scan, fast_scan), as the detector sends them
    photons: u4 (frame, slow_scan, fast_scan), photons that hit
    charge: f4, same shape, keV collected
    stages, pretended: u1, same shape, true stage and the one that snow pretends, else 0
    asic_shift, baseline_shift: f4 (frame, asic), ADU
    drift: ADU, of the whole train
    """

    planes: np.ndarray
    photons: np.ndarray
    charge: np.ndarray
    stages: np.ndarray
    pretended: np.ndarray
    asic_shift: np.ndarray
    baseline_shift: np.ndarray
    drift: float


class AgipdExposure:
    """Exposes one module to one scene.

    truth: the module
    expected: f4 (slow_scan, fast_scan), photons per pulse of mean energy
    """

    def __init__(self, settings: AgipdSettings, module: int, truth: AgipdTruth, expected: np.ndarray):
        self._settings, self._module, self._truth = settings, module, truth
        self._is_lit = bool(expected.any())
        self._expected = np.where(np.isin(truth.kinds, NO_CHARGE), 0, expected).astype("f4")
        shares = settings.charge_sharing
        self._lost = lost_at_border(PIXEL_UM, CLOUD_UM) if shares else np.zeros(BINS, "f4")
        self._lowest, self._highest, _ = STAGES[settings.gain_mode]
        self._forced_error = truth.forced_error * np.float32(self._lowest == 0)
        self._snow = truth.snow * np.float32(settings.snow and self._is_lit)
        self._stuck = [(truth.kinds == kind, value) for kind, value in STUCK.items()]

    def train(self, position: int, cells: np.ndarray, pulses: np.ndarray) -> Train:
        """One train; it depends on the arguments alone, not on earlier calls, and a frame
        does not depend on which other cells were recorded.

        position: of the train in the run
        cells: integers (frame,), memory cells of the frames
        pulses: f8 (pulse,), energy of each pulse of the train in units of the mean, by cell
        """
        n, settings = len(cells), self._settings
        key = (settings.run, self._module, position)
        starts = states(settings.seed, Stream.FRAMES, *key, n=2 * settings.memory_cells).reshape(-1, 2)
        train = Train(
            planes=np.empty((n, 2, *MODULE_SHAPE), "u2"),
            photons=np.zeros((n, *MODULE_SHAPE), "u4"),
            charge=np.zeros((n, *MODULE_SHAPE), "f4"),
            stages=np.empty((n, *MODULE_SHAPE), "u1"),
            pretended=np.empty((n, *MODULE_SHAPE), "u1"),
            asic_shift=self._asic_shifts(key)[cells],
            baseline_shift=np.zeros((n, ASICS), "f4"),
            drift=settings.drift * position / max(settings.trains - 1, 1),
        )
        drift = np.float32(train.drift) * self._truth.drift
        for frame, cell in enumerate(cells.tolist()):
            light, noise = starts[cell]
            if self._is_lit:
                self._collect(light, pulses[cell], train.photons[frame], train.charge[frame])
            elif settings.is_scan:
                train.charge[frame] = position * self._pulsed()
            self._expose(noise, cell, train, frame, drift)
        for here, value in self._stuck:
            train.planes[:, :, here] = value
        return train

    def _collect(self, state: np.uint64, pulse: float, photons: np.ndarray, charge: np.ndarray) -> None:
        energy = self._settings.photon_energy
        beta = energy * BETA_OVER_ALPHA
        collect(
            state, self._expected, pulse, energy, beta, self._settings.beta_share, self._lost, photons, charge
        )

    def _pulsed(self) -> np.ndarray:
        """Charge of one pulse of the capacitor: f4 (slow_scan, fast_scan), keV."""
        charge = np.zeros(MODULE_SHAPE, "f4")
        rows = np.s_[self._settings.scan_row :: PULSED_ROWS]
        charge[rows] = self._truth.pulser[rows]
        return charge

    def _expose(self, state: np.uint64, cell: int, train: Train, frame: int, drift: np.ndarray) -> None:
        truth, charge = self._truth, train.charge[frame]
        kernels.stages_of(charge, truth.switch, self._lowest, self._highest, train.stages[frame])
        if self._settings.baseline_shift and self._is_lit:
            kernels.baseline_shifts(charge, train.baseline_shift[frame])
        kernels.expose(
            state,
            charge,
            train.stages[frame],
            truth.pedestal,
            self._forced_error,
            truth.ripple[cell],
            drift,
            truth.slope,
            truth.cell_gain[cell],
            truth.noise,
            truth.cell_noise[cell],
            truth.level,
            self._snow,
            truth.switch,
            train.asic_shift[frame],
            train.baseline_shift[frame],
            HOOK_ADU if self._settings.is_scan else 0.0,
            train.planes[frame],
            train.pretended[frame],
        )

    def _asic_shifts(self, key: tuple[int, int, int]) -> np.ndarray:
        """Common mode of a train: f4 (cell, asic), ADU, of each frame and of each row of cells."""
        cells = self._settings.memory_cells
        if not self._settings.common_mode:
            return np.zeros((cells, ASICS), "f4")
        rng = generator(self._settings.seed, Stream.SHIFTS, *key)
        frames = rng.normal(0, ASIC_SHIFT_ADU, (cells, ASICS))
        rows = rng.normal(0, ROW_SHIFT_ADU, (-(-cells // CELLS_PER_ROW), ASICS))
        return (frames + np.repeat(rows, CELLS_PER_ROW, axis=0)[:cells]).astype("f4")
