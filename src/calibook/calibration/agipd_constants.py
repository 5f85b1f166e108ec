"""The constants of an AGIPD module as its correction kernel takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibook.calibration.agipd_pc import medium_shift, relative_gains
from calibook.detectors.agipd import ADC_BLOCK_SHAPE
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import NoConstants
from calibook.kernels.analogue_packing import (
    AnalogueConstants,
    pack_analogue,
    pack_force_below,
    pack_signal,
    pack_thresholds,
)
from calibook.kernels.packing import PackedConstants
from calibook.kernels.pixel_checks import noisy_blocks

_BAD_PIXELS = ("BadPixelsDark", "BadPixelsPC", "BadPixelsFF")
# Constants are packed some memory cells at a time: in between they are of double precision.
_CELLS_AT_A_TIME = 32


@dataclass(frozen=True)
class StageOptions:
    """How the gain stage is found, see `kernels.analogue_packing`.

    low_medium_gap: no low gain where its threshold is too near to that of medium gain
    high_below, medium_below: force high gain, medium gain, below these signals [ADU]; None for not
    high_from: offset that high_below counts from, "high" or "medium"
    """

    low_medium_gap: bool = True
    high_below: float | None = 1000.0
    medium_below: float | None = 1000.0
    high_from: str = "high"


@dataclass(frozen=True)
class GainOptions:
    """What offset-subtracted signals become.

    relative: bring medium and low gain onto the scale of high gain, by SlopesPC
    adjust_medium: move the medium line so that it meets that of high gain, by SlopesPC
    xray_gain: ADU/keV of high gain for all pixels; None takes SlopesFF; 1 leaves ADU
    photon_energy: keV; 1 leaves keV
    """

    relative: bool = True
    adjust_medium: bool = True
    xray_gain: float | None = None
    photon_energy: float = 1.0


def pack_agipd(
    constants: Mapping[str, np.ndarray],
    static: np.ndarray,
    stages: StageOptions | None = None,
    gains: GainOptions | None = None,
    noisy_adc_fraction: float | None = None,
    fixed_gain: bool = False,
) -> PackedConstants:
    """Pack the constants of one module, an AnalogueConstants unless the gain is fixed.

    constants: {calibration: (cell, gain or quantity, slow_scan, fast_scan)}, as `load_constants`
        gives them; needs Offset, ThresholdsDark (not with fixed gain), and what the options ask for
    static: u4 (slow_scan, fast_scan), bits of pixels that are what they are in all constants
    noisy_adc_fraction: NOISY_ADC for blocks of one ADC with a larger share of pixels out of
        limits; None for not

    Raises NoConstants for one that is missing.
    """
    stages, gains = stages or StageOptions(), gains or GainOptions()
    needed = {"Offset": True, "ThresholdsDark": not fixed_gain}
    needed |= {"SlopesPC": gains.relative or gains.adjust_medium, "SlopesFF": gains.xray_gain is None}
    missing = [name for name, wanted in needed.items() if wanted and name not in constants]
    if missing:
        raise NoConstants(f"the correction needs {', '.join(missing)}, which the store did not give")
    cells = len(constants["Offset"])
    parts = []
    for start in range(0, cells, _CELLS_AT_A_TIME):
        some = slice(start, start + _CELLS_AT_A_TIME)
        # One cell in a constant is for all.
        part = {name: array[some] if len(array) > 1 else array for name, array in constants.items()}
        word = _bad_pixels(part, static, noisy_adc_fraction)
        parts.append(_pack(part, word, stages, gains, fixed_gain))
    return _joined(parts)


def _pack(
    part: Mapping[str, np.ndarray], word: np.ndarray, stages: StageOptions, gains: GainOptions, fixed: bool
) -> PackedConstants:
    offset = part["Offset"]
    packed = pack_signal(
        offset,
        relative_gains(part["SlopesPC"]) if gains.relative else None,
        part["SlopesFF"] if gains.xray_gain is None else gains.xray_gain,
        gains.photon_energy,
        np.broadcast_to(word, offset.shape),
        medium_shift(part["SlopesPC"], offset) if gains.adjust_medium else None,
    )
    if fixed:
        return packed
    threshold = pack_thresholds(part["ThresholdsDark"], stages.low_medium_gap)
    force = pack_force_below(offset, stages.high_below, stages.medium_below, stages.high_from)
    return pack_analogue(packed, threshold, force)


def _bad_pixels(part: Mapping[str, np.ndarray], static: np.ndarray, fraction: float | None) -> np.ndarray:
    word = np.broadcast_to(static, (1, 1, *static.shape)).astype(np.uint32)
    for name in _BAD_PIXELS:
        if name in part:
            word = word | part[name].astype(np.uint32)
    if fraction is not None:
        limits = BadPixels.OFFSET_OUT_OF_THRESHOLD | BadPixels.NOISE_OUT_OF_THRESHOLD
        noisy = noisy_blocks(word, ADC_BLOCK_SHAPE, int(limits), fraction)
        word = word | np.where(noisy, np.uint32(BadPixels.NOISY_ADC), np.uint32(0))
    return word


def _joined(parts: list[PackedConstants]) -> PackedConstants:
    cells = sum(len(part.offset) for part in parts)

    def all_of(name: str) -> np.ndarray:
        arrays = [getattr(part, name) for part in parts]
        first = arrays[0]
        same = (np.array_equal(array, first, equal_nan=array.dtype.kind == "f") for array in arrays)
        if len(first) == 1 and all(same):
            return first
        repeated = [
            np.broadcast_to(array, (len(part.offset), *array.shape[1:]))
            for array, part in zip(arrays, parts, strict=True)
        ]
        return np.concatenate(repeated)

    offset, scale, mask = all_of("offset"), all_of("scale"), all_of("mask")
    if isinstance(parts[0], AnalogueConstants):
        return AnalogueConstants(offset, scale, mask, cells, all_of("threshold"), all_of("force_below"))
    return PackedConstants(offset, scale, mask, cells)
