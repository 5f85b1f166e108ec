"""Constants in the shape that the correction kernels read fastest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels.checks import check_array

STAGES = 3


@dataclass(frozen=True)
class PackedConstants:
    """Constants of one module; C-contiguous, axes (memory cell, gain stage, pixel).

    Pixels run slow_scan outer, fast_scan inner. An array with one cell serves all.

    offset: f4, ADU
    scale: f4, what an offset-subtracted signal is multiplied with
    mask: u4, bad-pixel word
    cells: number of memory cells C
    """

    offset: np.ndarray
    scale: np.ndarray
    mask: np.ndarray
    cells: int

    def __post_init__(self) -> None:
        for name, array, dtype in (
            ("offset", self.offset, "f4"),
            ("scale", self.scale, "f4"),
            ("mask", self.mask, "u4"),
        ):
            cells = 1 if len(array) == 1 else self.cells
            check_array(name, array, dtype, (cells, STAGES, self.offset.shape[-1]))

    @property
    def pixels(self) -> int:
        return self.offset.shape[2]

    def unscaled(self) -> PackedConstants:
        """The same with scale 1, for steps that come between offset and gain."""
        return replace(self, scale=np.ones((1, STAGES, self.pixels), np.float32))


def pack_constants(
    offset: np.ndarray,
    gain: np.ndarray | None = None,
    bad_pixels: np.ndarray | None = None,
    photon_energy: float | None = None,
) -> PackedConstants:
    """Bring constants of one module into kernel order, gain inverted.

    offset: float (cell or 1, gain 3 or 1, slow_scan, fast_scan), ADU
    gain: float, same axes, ADU/keV; None leaves the signal in ADU
    bad_pixels: integer words, same axes; None means all good
    photon_energy: keV; with it the result is in photons, else in keV

    A gain of zero or one that isn't finite gives a NaN scale, so that its
    pixel becomes NaN instead of a wrong number. Raises ValueError for shapes
    that don't fit each other, BadParameter for an impossible photon energy.
    """
    given = {"offset": offset, "gain": gain, "bad_pixels": bad_pixels}
    arrays = {name: np.asarray(array) for name, array in given.items() if array is not None}
    cells = _common_cells(arrays)
    pixels = int(np.prod(arrays["offset"].shape[2:]))
    if photon_energy is not None and not (np.isfinite(photon_energy) and photon_energy > 0):
        raise BadParameter(f"photon_energy is {photon_energy} keV, needs a number above 0")
    if photon_energy is not None and gain is None:
        raise BadParameter("photon_energy is given without a gain constant: ADU can't become photons")
    return PackedConstants(
        offset=_stages_first(arrays["offset"], np.float32),
        scale=_scale(arrays["gain"], photon_energy) if "gain" in arrays else _ones(pixels),
        mask=(
            _stages_first(arrays["bad_pixels"], np.uint32)
            if "bad_pixels" in arrays
            else np.zeros((1, STAGES, pixels), np.uint32)
        ),
        cells=cells,
    )


def _common_cells(arrays: dict[str, np.ndarray]) -> int:
    for name, array in arrays.items():
        if array.ndim != 4 or array.shape[1] not in (1, STAGES):
            raise ValueError(
                f"{name} has shape {array.shape}, needs (cell, gain 3 or 1, slow_scan, fast_scan)"
            )
        if array.shape[2:] != arrays["offset"].shape[2:]:
            raise ValueError(
                f"{name} is for {array.shape[2:]} pixels, offset for {arrays['offset'].shape[2:]}"
            )
    counts = {name: array.shape[0] for name, array in arrays.items()}
    cells = max(counts.values())
    if set(counts.values()) - {1, cells} or not all(counts.values()):
        raise ValueError(
            f"constants have different numbers of memory cells: {counts}; each needs {cells} or 1"
        )
    return cells


def _stages_first(array: np.ndarray, dtype: type) -> np.ndarray:
    """Copy to (cell, gain 3, pixel), one stage repeated to three."""
    cells, stages = array.shape[:2]
    flat = array.reshape(cells, stages, -1)
    return np.array(np.broadcast_to(flat, (cells, STAGES, flat.shape[2])), dtype, order="C")


def _scale(gain: np.ndarray, photon_energy: float | None) -> np.ndarray:
    """1 / gain, / photon energy; worked out in f8 and rounded once."""
    cells, stages = gain.shape[:2]
    scale = np.empty((cells, STAGES, gain[0, 0].size), np.float32)
    flat = np.ascontiguousarray(gain, np.float64).reshape(cells, stages, -1)
    _invert(flat, photon_energy or 1.0, scale)
    return scale


@njit(nogil=True, cache=True, error_model="numpy")
def _invert(gain, energy, scale):
    for c in range(scale.shape[0]):
        for g in range(gain.shape[1]):
            for p in range(gain.shape[2]):
                value = np.float32(1.0 / gain[c, g, p] / energy)
                usable = np.isfinite(gain[c, g, p]) & np.isfinite(value)
                scale[c, g, p] = value if usable else np.float32(np.nan)
        for g in range(gain.shape[1], STAGES):  # one stage is repeated to three
            scale[c, g] = scale[c, 0]


def _ones(pixels: int) -> np.ndarray:
    return np.ones((1, STAGES, pixels), np.float32)
