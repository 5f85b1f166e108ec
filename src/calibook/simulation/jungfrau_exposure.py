"""Frames of one JUNGFRAU module, and the photons that truly made them."""

from __future__ import annotations

import numpy as np

from calibook.detectors.jungfrau import ADC_MAX, INVALID_CODE
from calibook.simulation import jungfrau_kernels as kernels
from calibook.simulation.jungfrau_model import (
    ASIC_SHIFT_ADU,
    NO_CHARGE,
    SUPERCOLUMN_SHIFT_ADU,
    DetectorModel,
)
from calibook.simulation.jungfrau_settings import STAGES
from calibook.simulation.jungfrau_truth import MODULE_SHAPE, PixelKind
from calibook.simulation.streams import Stream, generator

INVALID_CODE_RATE = 1e-6


class ModuleExposure:
    """Exposes one module to one scene.

    model: the module
    expected: f4 (slow_scan, fast_scan), photons per pulse of mean energy
    photon_energy: keV
    """

    def __init__(
        self,
        model: DetectorModel,
        expected: np.ndarray,
        *,
        seed: int,
        run: int,
        module: int,
        photon_energy: float,
        gain_mode: str,
        common_mode: bool,
    ):
        kinds = model.truth.kinds
        self._model, self._energy, self._common_mode = model, photon_energy, common_mode
        self._key = (seed, Stream.FRAMES, run, module)
        self._lowest, self._highest = STAGES[gain_mode]
        self._expected = np.where(np.isin(kinds, NO_CHARGE), 0.0, expected)
        self._is_lit = bool(expected.any())
        self._last_stage = np.full(MODULE_SHAPE, 2, "u1")
        self._last_stage[kinds == PixelKind.STAYS_IN_G0] = 0
        self._last_stage[kinds == PixelKind.STAYS_IN_G1] = 1
        self._low, self._high, self._wrong = (
            np.nonzero(kinds == kind)
            for kind in (PixelKind.STUCK_LOW, PixelKind.STUCK_HIGH, PixelKind.WRONG_CODE)
        )

    def train(self, index: int, cells: np.ndarray, pulses: np.ndarray) -> tuple[np.ndarray, ...]:
        """Frames of one train; they depend on the arguments alone, not on earlier calls.

        index: position of the train in the run
        cells: integers (frame,), index into the model's cells
        pulses: f8 (frame,), energy of each pulse in units of the mean

        Returns (adc u2, code u1, photons i8), each (frame, slow_scan, fast_scan).
        """
        rng = generator(*self._key, index)
        shape = (len(cells), *MODULE_SHAPE)
        adc, code, photons = np.empty(shape, "u2"), np.empty(shape, "u1"), np.zeros(shape, "i8")
        for frame, (cell, pulse) in enumerate(zip(cells, pulses, strict=True)):
            if self._is_lit:
                photons[frame] = rng.poisson(self._expected * pulse)
            self._expose(rng, cell, photons[frame], adc[frame], code[frame])
        samples = rng.integers(0, code.size, rng.poisson(INVALID_CODE_RATE * code.size))
        code.reshape(-1)[samples] = INVALID_CODE
        return adc, code, photons

    def _expose(
        self, rng: np.random.Generator, cell: int, photons: np.ndarray, adc: np.ndarray, code: np.ndarray
    ) -> None:
        truth = self._model.truth
        normal = rng.standard_normal(MODULE_SHAPE, dtype=np.float32)
        kernels.expose(
            photons,
            normal,
            truth.offset[cell],
            truth.gain[cell],
            self._model.electronic_noise,
            self._model.switch,
            self._last_stage,
            self._shifts(rng),
            self._energy,
            self._lowest,
            self._highest,
            adc,
            code,
        )
        adc[self._low], adc[self._high] = 0, ADC_MAX
        code[self._wrong] = np.where(code[self._wrong] > 0, INVALID_CODE, 0)

    def _shifts(self, rng: np.random.Generator) -> np.ndarray:
        """Common mode of one frame: f4 (2, 16), ADU of each ADC's 64 columns."""
        if not self._common_mode:
            return np.zeros((2, 16), "f4")
        asic = np.repeat(rng.normal(0, ASIC_SHIFT_ADU, (2, 4)), 4, axis=1)
        return (asic + rng.normal(0, SUPERCOLUMN_SHIFT_ADU, (2, 16))).astype("f4")
