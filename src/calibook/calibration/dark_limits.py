"""Which pixels are bad, from what their darks say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadParameter

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""


@dataclass(frozen=True)
class DarkLimits:
    """What a good pixel's dark looks like. Pairs (low, high) are per gain stage, ADU.

    offset, noise: those of JUNGFRAU are parameters of its notebook. A pixel whose
        ADC moves by less than about 1 ADU is stuck
    offset_sigma, noise_sigma: how many sigma a pixel may lie from the median
        over the module's pixels, same cell and gain stage; sigma is
        1.4826 times the median absolute deviation. 5 is European XFEL's
        default; psana takes 6. Offsets of good pixels spread by 250 to 300 ADU
    wrong_gain: largest fraction of samples with a wrong gain code; forced
        switching fails for good or not at all, so a few per cent are enough
    saturated: largest fraction at an end of the ADC's range (psana: 10 %)
    """

    offset: tuple[tuple[float, float], ...]
    noise: tuple[tuple[float, float], ...]
    offset_sigma: float = 5.0
    noise_sigma: float = 5.0
    wrong_gain: float = 0.05
    saturated: float = 0.1

    @classmethod
    def from_lists(
        cls, stages: Sequence[str], lists: Mapping[str, Sequence[float]], **more: float
    ) -> DarkLimits:
        """Limits from lists with one value for each gain stage.

        lists: offset_low, offset_high, noise_low, noise_high, ADU
        more: the other fields
        Raises BadParameter for lists of another length and for limits that contradict each other.
        """
        for name, values in lists.items():
            if len(values) != len(stages):
                raise BadParameter(
                    f"{name}={list(values)}: needs {len(stages)} values, one for each of {', '.join(stages)}"
                )
        offset, noise = (
            tuple(zip(lists[f"{name}_low"], lists[f"{name}_high"], strict=True))
            for name in ("offset", "noise")
        )
        return cls(offset, noise, **more)

    def __post_init__(self) -> None:
        for name in ("offset", "noise"):
            for low, high in getattr(self, name):
                if not low < high:
                    raise BadParameter(
                        f"{name} limits ({low}, {high}) ADU: the low one must be below the high one"
                    )
        for name in ("offset_sigma", "noise_sigma"):
            if not getattr(self, name) > 0:
                raise BadParameter(f"{name} is {getattr(self, name)}, needs a number above 0")
        for name in ("wrong_gain", "saturated"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadParameter(f"{name} is {getattr(self, name)}, needs a fraction, 0 to 1")


def bad_pixels_of_darks(
    offset: np.ndarray,
    noise: np.ndarray,
    count: np.ndarray,
    wrong: np.ndarray,
    saturated: np.ndarray,
    limits: DarkLimits,
) -> np.ndarray:
    """Bad-pixel words u4 from darks; all arrays (cell, gain, slow_scan, fast_scan).

    offset, noise: ADU; NaN where not known
    count: samples with the expected gain code
    wrong: samples with another gain code
    saturated: samples, of `count`, at an end of the ADC's range

    NO_DARK_DATA: no sample counted. OFFSET_NOISE_EVAL_ERROR: offset or noise
    isn't finite. WRONG_GAIN_VALUE: too many wrong gain codes.
    OFFSET_OUT_OF_THRESHOLD, NOISE_OUT_OF_THRESHOLD: outside the hard limits or
    too many sigma from the module's median, or, for the offset, saturated too
    often. A limit itself is still good.

    Raises ValueError if shapes differ.
    """
    arrays = {"noise": noise, "count": count, "wrong": wrong, "saturated": saturated}
    for name, array in arrays.items():
        if array.shape != offset.shape:
            raise ValueError(f"{name} has shape {array.shape}, offset {offset.shape}")
    if offset.ndim != 4 or offset.shape[1] != len(limits.offset) or offset.shape[1] != len(limits.noise):
        raise ValueError(f"offset has shape {offset.shape}: needs 4 axes, and limits for each gain stage")

    words = np.zeros(offset.shape, np.uint32)
    known = np.isfinite(offset) & np.isfinite(noise)

    def flag(bit: BadPixels, where: np.ndarray) -> None:
        words[where] |= np.uint32(bit)

    flag(BadPixels.NO_DARK_DATA, count == 0)
    flag(BadPixels.OFFSET_NOISE_EVAL_ERROR, ~known)
    flag(BadPixels.WRONG_GAIN_VALUE, wrong > limits.wrong_gain * (count + wrong.astype(np.float64)))
    flag(BadPixels.OFFSET_OUT_OF_THRESHOLD, saturated > limits.saturated * count.astype(np.float64))
    flag(BadPixels.OFFSET_OUT_OF_THRESHOLD, _outlying(offset, limits.offset, limits.offset_sigma))
    flag(BadPixels.NOISE_OUT_OF_THRESHOLD, _outlying(noise, limits.noise, limits.noise_sigma))
    return words


def _outlying(values: np.ndarray, hard: tuple[tuple[float, float], ...], sigmas: float) -> np.ndarray:
    """True where a finite value is outside the hard limits or `sigmas` from its module's median.

    The median and sigma are over the pixels inside the hard limits: those
    outside are bad already, and must not decide about the others. Where more
    than half the pixels have one value sigma is 0 and tells nothing.
    """
    low, high = np.array(hard, np.float64).T[:, None, :, None, None]
    finite = np.isfinite(values)
    inside = finite & (values >= low) & (values <= high)
    outlying = finite & ~inside
    for cell, stage in np.ndindex(values.shape[:2]):
        chosen = inside[cell, stage]
        if not chosen.any():
            continue
        distance = np.abs(values[cell, stage] - np.median(values[cell, stage][chosen]))
        sigma = MAD_TO_SIGMA * np.median(distance[chosen])
        if sigma > 0:
            outlying[cell, stage] |= chosen & (distance > sigmas * sigma)
    return outlying
