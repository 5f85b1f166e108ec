"""The constants of an AGIPD module as its correction kernel takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from calibook.calibration.agipd.slopes import medium_shift, relative_gains
from calibook.calibration.workers import worker_threads
from calibook.constants import contiguous
from calibook.detectors.agipd import ADC_BLOCK_SHAPE
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import NoConstants
from calibook.kernels.analogue_packing import (
    pack_analogue,
    pack_force_below,
    pack_signal,
    pack_thresholds,
)
from calibook.kernels.packing import STAGES, PackedConstants
from calibook.kernels.pixel_checks import noisy_blocks

_BAD_PIXELS = ("BadPixelsDark", "BadPixelsPC", "BadPixelsFF")
# Constants are packed some memory cells at a time: in between they are of double precision.
_CELLS_AT_A_TIME = 8
_MOST_THREADS = 4


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

    constants: {calibration: (cell, gain or quantity, slow_scan, fast_scan)}, e.g. a
        `load.TaskConstants`: each is asked for once, and let go before those that it is not
        used with; needs Offset, ThresholdsDark (not with fixed gain), and what the options ask for
    static: u4 (slow_scan, fast_scan), bits of pixels that are what they are in all
        constants; or (cell, 1, slow_scan, fast_scan), of what the run itself shows
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
    word = _bad_pixels(constants, static, noisy_adc_fraction)
    threshold = None if fixed_gain else _packed_thresholds(constants["ThresholdsDark"], stages)
    offset, scale, force = _packed_signal(constants, stages, gains, fixed_gain)
    packed = PackedConstants(offset, scale, _packed_mask(word, len(offset)), len(offset))
    return packed if threshold is None else pack_analogue(packed, threshold, force)


def _bad_pixels(
    constants: Mapping[str, np.ndarray], static: np.ndarray, fraction: float | None
) -> np.ndarray:
    """u4 (cell or 1, 3 or 1, slow_scan, fast_scan)"""
    word = (static if static.ndim == 4 else static[None, None]).astype(np.uint32)
    for name in _BAD_PIXELS:
        if name in constants:
            word = _or(word, _copied(constants[name], np.uint32))
    if fraction is not None:
        limits = BadPixels.OFFSET_OUT_OF_THRESHOLD | BadPixels.NOISE_OUT_OF_THRESHOLD
        for cells in _parts(len(word)):
            noisy = noisy_blocks(word[cells], ADC_BLOCK_SHAPE, int(limits), fraction)
            word[cells][noisy] |= np.uint32(BadPixels.NOISY_ADC)
    return word


def _copied(array: np.ndarray, dtype: type) -> np.ndarray:
    [copy] = _by_cells(len(array), lambda cells: [_some(array, cells).astype(dtype, copy=False)])
    return copy


def _or(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Both words; one with fewer memory cells than the other, but not one for all, lacks the last ones.

    theirs: may become the result
    """
    counts = {len(word) for word in (ours, theirs)} - {1}
    if len(counts) < 2:
        fits = np.broadcast_shapes(ours.shape, theirs.shape) == theirs.shape
        return np.bitwise_or(ours, theirs, out=theirs if fits else None)
    few, many = sorted((ours, theirs), key=len)
    both = np.array(np.broadcast_to(many, (len(many), *np.broadcast_shapes(few.shape[1:], many.shape[1:]))))
    both[: len(few)] |= few
    return both


def _packed_thresholds(thresholds: np.ndarray, stages: StageOptions) -> np.ndarray:
    two = thresholds[:, :2]  # the others are what these were made of
    [packed] = _by_cells(len(two), lambda cells: [pack_thresholds(_some(two, cells), stages.low_medium_gap)])
    return packed


def _packed_signal(
    constants: Mapping[str, np.ndarray], stages: StageOptions, gains: GainOptions, fixed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(offset, scale, force_below) of all cells, as kernels take them."""
    slopes = constants["SlopesPC"] if gains.relative or gains.adjust_medium else None
    xray = constants["SlopesFF"] if gains.xray_gain is None else np.array(gains.xray_gain)
    offset = constants["Offset"]

    def pack(cells: slice) -> list[np.ndarray]:
        dark = _some(offset, cells)
        lines = None if slopes is None else _some(slopes, cells)
        packed = pack_signal(
            dark,
            relative_gains(lines) if lines is not None and gains.relative else None,
            xray if xray.ndim == 0 else _some(xray, cells),
            gains.photon_energy,
            medium_shift=medium_shift(lines, dark) if lines is not None and gains.adjust_medium else None,
        )
        force = None
        if not fixed:
            force = pack_force_below(dark, stages.high_below, stages.medium_below, stages.high_from)
        return [packed.offset, packed.scale] + ([] if force is None else [force])

    offsets, scales, *forces = _by_cells(len(offset), pack)
    return offsets, scales, forces[0] if forces else None


def _by_cells(cells: int, make: Callable[[slice], list[np.ndarray]]) -> list[np.ndarray]:
    """Arrays of all cells, each made some cells at a time, in threads.

    One that is of a single cell in a part is that for all of them, and stays so.
    """
    every = _parts(cells)
    first = make(every[0])
    single = [len(part) == 1 and cells > 1 for part in first]
    found = [
        part if one else np.empty((cells, *part.shape[1:]), part.dtype)
        for part, one in zip(first, single, strict=True)
    ]

    def fill(some: slice, parts: list[np.ndarray]) -> None:
        for whole, part, one in zip(found, parts, single, strict=True):
            if not one:
                whole[some] = part

    fill(every[0], first)
    with ThreadPoolExecutor(min(worker_threads(), _MOST_THREADS), "pack") as pool:
        list(pool.map(lambda some: fill(some, make(some)), every[1:]))
    return found


def _some(array: np.ndarray, cells: slice) -> np.ndarray:
    """A copy, C-contiguous, as constants may be views of files in another order. One cell is for all."""
    return contiguous(array if len(array) == 1 else array[cells])


def _parts(cells: int) -> list[slice]:
    return [slice(start, start + _CELLS_AT_A_TIME) for start in range(0, cells, _CELLS_AT_A_TIME)]


def _packed_mask(word: np.ndarray, cells: int) -> np.ndarray:
    """u4 (cell or 1, 3, pixel). What a run shows may be of other memory cells than the constants are."""
    if 1 < len(word) < cells:
        word = _or(word, np.zeros((cells, 1, 1, 1), np.uint32))
    flat = word[:cells].reshape(min(len(word), cells), word.shape[1], -1)
    return np.ascontiguousarray(np.broadcast_to(flat, (len(flat), STAGES, flat.shape[2])))
