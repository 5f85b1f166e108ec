"""Gain of each pixel from the spectra of a fluorescence flat field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadParameter
from calibook.kernels.peaks import GOOD, NO_ENTRIES, PeakFits


@dataclass(frozen=True)
class FlatFieldLimits:
    """What a good pixel's fit looks like.

    relative_gain: (low, high) of its gain over the median of the module's pixels,
        same memory cell
    gain_error: largest relative standard deviation of the gain; a constant that is
        less certain harms more than the median would
    deviance: (low, high) per degree of freedom
    width: (low, high) of the peaks' width over the median of the module
    """

    relative_gain: tuple[float, float] = (0.8, 1.2)
    gain_error: float = 0.03
    deviance: tuple[float, float] = (0.0, 3.0)
    width: tuple[float, float] = (0.4, 2.5)

    def __post_init__(self) -> None:
        for name in ("relative_gain", "deviance", "width"):
            low, high = getattr(self, name)
            if not low < high:
                raise BadParameter(
                    f"limits of {name} are {low} to {high}: the low one must be below the high one"
                )
        if not self.gain_error > 0:
            raise BadParameter(f"gain_error is {self.gain_error}, needs a number above 0")


@dataclass(frozen=True)
class FlatField:
    """Gains of one module; arrays (cell, slow_scan, fast_scan), one cell if all were counted together.

    gain, gain_error: f8, ADU/keV, and standard deviation; where the pixel has none
        of its own the gain is the median of its cell, the error NaN
    bad: u4, bad-pixel words
    cuts: {name of a quality cut: pixels it took}, over all cells
    """

    gain: np.ndarray
    gain_error: np.ndarray
    bad: np.ndarray
    cuts: dict[str, int]


def flat_field_gains(
    fits: PeakFits, photon_energy: float, shape: tuple[int, int], limits: FlatFieldLimits | None = None
) -> FlatField:
    """SlopesFF and BadPixelsFF of a module.

    fits: (cell, pixel), of offset-subtracted ADU
    photon_energy: keV of the fluorescence line
    shape: (slow_scan, fast_scan)

    FF_NO_ENTRIES: too few photons for a fit. FF_GAIN_EVAL_ERROR: the fit did not
    converge, or is bad by deviance or error. FF_GAIN_DEVIATION: gain or width
    too far from the module's. Raises BadParameter if no pixel of a cell is good.
    """
    limits = limits or FlatFieldLimits()
    if not photon_energy > 0:
        raise BadParameter(f"photon_energy is {photon_energy} keV, needs a number above 0")
    fitted = fits.status == GOOD
    cut = {
        "too few photons": fits.status == NO_ENTRIES,
        "fit failed": ~fitted & (fits.status != NO_ENTRIES),
        "fit bad": fitted & ~_within(fits.deviance, *limits.deviance),
        "gain uncertain": fitted & ~(fits.spacing_error < limits.gain_error * fits.spacing),
    }
    usable = fitted & ~cut["fit bad"] & ~cut["gain uncertain"]
    if not usable.any(axis=1).all():
        cell = int(np.argmin(usable.any(axis=1)))
        taken = ", ".join(f"{name}: {int(pixels[cell].sum())}" for name, pixels in cut.items())
        raise BadParameter(f"flat field: no pixel of memory cell {cell} has a usable fit ({taken})")
    median = _median(fits.spacing, usable)
    cut["gain deviates"] = usable & ~_within(fits.spacing / median, *limits.relative_gain)
    cut["width deviates"] = usable & ~_within(fits.width / _median(fits.width, usable), *limits.width)
    bad = np.zeros(fitted.shape, np.uint32)
    for name, bit in _BITS.items():
        bad[cut[name]] |= np.uint32(bit)
    gain = np.where(bad == 0, fits.spacing, median) / photon_energy
    error = np.where(bad == 0, fits.spacing_error, np.nan) / photon_energy
    maps = (len(bad), *shape)
    cuts = {name: int(pixels.sum()) for name, pixels in cut.items()}
    return FlatField(gain.reshape(maps), error.reshape(maps), bad.reshape(maps), cuts)


_BITS = {
    "too few photons": BadPixels.FF_NO_ENTRIES,
    "fit failed": BadPixels.FF_GAIN_EVAL_ERROR,
    "fit bad": BadPixels.FF_GAIN_EVAL_ERROR,
    "gain uncertain": BadPixels.FF_GAIN_EVAL_ERROR,
    "gain deviates": BadPixels.FF_GAIN_DEVIATION,
    "width deviates": BadPixels.FF_GAIN_DEVIATION,
}


def _median(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Over the usable pixels of each cell: (cell, 1)."""
    return np.nanmedian(np.where(usable, values, np.nan), axis=1, keepdims=True)


def _within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (values >= low) & (values <= high)
