"""Gain of each pixel from the spectra of a fluorescence flat field."""

from __future__ import annotations

from collections.abc import Sequence
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

    gain, gain_error: f4, ADU/keV, and standard deviation; where the pixel has none
        of its own the gain is the median of its cell (NaN if none has), the error NaN
    bad: u4, bad-pixel words
    cuts: {name of a quality cut: i8 (cell,), pixels it took}
    """

    gain: np.ndarray
    gain_error: np.ndarray
    bad: np.ndarray
    cuts: dict[str, np.ndarray]


def joined(parts: Sequence[FlatField]) -> FlatField:
    """Memory cells of all parts. A cell without any good pixel takes the median gain of the others.

    Raises BadParameter if no cell has one.
    """
    gain, error, bad = (np.concatenate([getattr(part, name) for part in parts]) for name in _MAPS)
    cuts = {name: np.concatenate([part.cuts[name] for part in parts]) for name in parts[0].cuts}
    if not (bad == 0).any():
        taken = ", ".join(f"{name}: {pixels.sum()}" for name, pixels in cuts.items())
        raise BadParameter(f"flat field: no pixel of any memory cell has a usable fit ({taken})")
    empty = np.isnan(gain).all(axis=(1, 2))
    if empty.any():
        gain[empty] = np.median(gain[~empty])
    return FlatField(gain, error, bad, cuts)


_MAPS = ("gain", "gain_error", "bad")


def flat_field_gains(
    fits: PeakFits, photon_energy: float, shape: tuple[int, int], limits: FlatFieldLimits | None = None
) -> FlatField:
    """SlopesFF and BadPixelsFF of a module.

    fits: (cell, pixel), of offset-subtracted ADU
    photon_energy: keV of the fluorescence line
    shape: (slow_scan, fast_scan)

    FF_NO_ENTRIES: too few photons for a fit. FF_GAIN_EVAL_ERROR: the fit did not
    converge, or is bad by deviance or error. FF_GAIN_DEVIATION: gain or width
    too far from the module's.
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
    median = _median(fits.spacing, usable)
    cut["gain deviates"] = usable & ~_within(fits.spacing / median, *limits.relative_gain)
    cut["width deviates"] = usable & ~_within(fits.width / _median(fits.width, usable), *limits.width)
    bad = np.zeros(fitted.shape, np.uint32)
    for name, bit in _BITS.items():
        bad[cut[name]] |= np.uint32(bit)
    gain = (np.where(bad == 0, _for_division(fits), median) / photon_energy).astype(np.float32)
    error = (np.where(bad == 0, fits.spacing_error, np.nan) / photon_energy).astype(np.float32)
    maps = (len(bad), *shape)
    cuts = {name: pixels.sum(axis=1) for name, pixels in cut.items()}
    return FlatField(gain.reshape(maps), error.reshape(maps), bad.reshape(maps), cuts)


def _for_division(fits: PeakFits) -> np.ndarray:
    """The spacing of peaks, larger by its relative variance.

    Signals are divided by the gain, and the mean of 1 / estimate is too large by just
    that (second order of the reciprocal's expansion about the true value).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return fits.spacing * (1 + (fits.spacing_error / fits.spacing) ** 2)


_BITS = {
    "too few photons": BadPixels.FF_NO_ENTRIES,
    "fit failed": BadPixels.FF_GAIN_EVAL_ERROR,
    "fit bad": BadPixels.FF_GAIN_EVAL_ERROR,
    "gain uncertain": BadPixels.FF_GAIN_EVAL_ERROR,
    "gain deviates": BadPixels.FF_GAIN_DEVIATION,
    "width deviates": BadPixels.FF_GAIN_DEVIATION,
}


def _median(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Over the usable pixels of each cell: (cell, 1); NaN where there is none."""
    result = np.full((len(values), 1), np.nan)
    for cell in np.flatnonzero(usable.any(axis=1)):
        result[cell] = np.median(values[cell][usable[cell]])
    return result


def _within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (values >= low) & (values <= high)
