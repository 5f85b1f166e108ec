"""Constants for detectors that tell the gain stage by an analogue plane, as their kernel reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels.checks import check_array
from calibook.kernels.packing import STAGES, PackedConstants, pack_constants

NEVER = 0xFFFF
"""A threshold that no sample exceeds."""
GAP_RATIO = 1.05
"""Thresholds nearer to each other than this can't tell medium from low gain."""


@dataclass(frozen=True)
class AnalogueConstants(PackedConstants):
    """Packed constants, and what decides the gain stage; axes (memory cell, 2, pixel).

    threshold: u2, gain plane above which a sample is not in high gain, and is in low gain
    force_below: u2, signal plane below which a sample is in high gain, and is
        not in low gain, whatever the gain plane says; 0 for no such rule
    """

    threshold: np.ndarray
    force_below: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threshold", "force_below"):
            array = getattr(self, name)
            cells = 1 if len(array) == 1 else self.cells
            check_array(name, array, "u2", (cells, 2, self.pixels))

    @property
    def has_rules(self) -> bool:
        """Whether any signal may be below `force_below`."""
        return len(self.force_below) > 1 or bool(self.force_below.any())


def pack_analogue(
    packed: PackedConstants, threshold: np.ndarray, force_below: np.ndarray | None = None
) -> AnalogueConstants:
    """Put thresholds, and rules if any, beside packed offsets, scales and masks.

    threshold, force_below: as `pack_thresholds` and `pack_force_below` return them
    Raises ValueError for shapes that don't fit.
    """
    cells = max(packed.cells, len(threshold), 1 if force_below is None else len(force_below))
    if packed.cells not in (1, cells):
        raise ValueError(
            f"constants have {packed.cells} memory cells, thresholds {cells}; needs the same, or 1"
        )
    none = np.zeros((1, 2, packed.pixels), np.uint16)
    return AnalogueConstants(
        packed.offset,
        packed.scale,
        packed.mask,
        cells,
        threshold,
        none if force_below is None else force_below,
    )


def pack_thresholds(thresholds: np.ndarray, low_medium_gap: bool = False) -> np.ndarray:
    """Thresholds for whole-number comparison: u2 (cell, 2, pixel).

    thresholds: float (cell, 2 or more, slow_scan, fast_scan), ADU of the gain
        plane: where high, where medium gain ends; what follows is not looked at
    low_medium_gap: no low gain in pixels whose second threshold is not more
        than 1.05 times the first: there the two can't be told apart

    q > t holds for a whole number q exactly if q > floor(t), so nothing is lost.
    Thresholds below 0 count as 0; one that is NaN or above 65535 is never exceeded.
    """
    _check_axes("thresholds", thresholds, at_least=2)
    packed = np.empty((len(thresholds), 2, thresholds[0, 0].size), np.uint16)
    two = np.ascontiguousarray(thresholds[:, :2], np.float64).reshape(packed.shape)
    _floor(two, bool(low_medium_gap), packed)
    return packed


def pack_force_below(
    offset: np.ndarray,
    high_below: float | None = None,
    medium_below: float | None = None,
    high_from: str = "high",
) -> np.ndarray | None:
    """Signals too small for the gain stage that the gain plane shows: u2 (cell, 2, pixel).

    offset: float (cell, 3, slow_scan, fast_scan), ADU, as measured in darks
    high_below: a sample in medium or low gain whose signal, minus the offset of
        `high_from`, is below this many ADU is in high gain; None for no rule
    medium_below: one in low gain whose signal, minus the medium offset, is
        below this is in medium gain, before the other rule is looked at
    high_from: "high" or "medium". A false gain stage has a signal near the high
        offset. The published comment says medium, by which every true medium
        signal under `high_below` would change the stage.

    a - O < limit holds for a whole number a exactly if a < ceil(O + limit). The
    sum is in f8. Where the offset is NaN nothing is forced.
    Returns None if there is no rule at all.
    """
    if high_from not in ("high", "medium"):
        raise BadParameter(f"high_from is {high_from!r}, needs high or medium")
    if high_below is None and medium_below is None:
        return None
    _check_axes("offset", offset, at_least=STAGES)
    packed = np.zeros((len(offset), 2, offset[0, 0].size), np.uint16)
    rules = ((high_below, 0 if high_from == "high" else 1), (medium_below, 1))
    for rule, (limit, stage) in enumerate(rules):
        if limit is not None:
            levels = np.ascontiguousarray(offset[:, stage], np.float64).reshape(len(offset), -1)
            _ceiling(levels, np.float64(limit), packed[:, rule])
    return packed


def pack_signal(
    offset: np.ndarray,
    relative: np.ndarray | None = None,
    xray_gain: np.ndarray | float = 1.0,
    photon_energy: float = 1.0,
    bad_pixels: np.ndarray | None = None,
    medium_shift: np.ndarray | None = None,
) -> PackedConstants:
    """Offset, scale and mask: signal = (a - offset + medium_shift) * relative / xray_gain / photon_energy.

    offset: float (cell, 3, slow_scan, fast_scan), ADU
    relative: float, same axes, by which stages come onto the scale of high gain; None for none
    xray_gain: float (cell or 1, 1, slow_scan, fast_scan), or one number: ADU/keV
        of high gain; 1 leaves the signal in ADU
    photon_energy: keV; 1 leaves the signal in keV
    bad_pixels: u4, axes of offset, or with one stage for all
    medium_shift: float (cell, 1, slow_scan, fast_scan), ADU of medium gain,
        added where medium gain is

    Worked out in f8, rounded once; what isn't finite or divides by zero becomes
    NaN. Raises BadParameter for an impossible gain or photon energy.
    """
    for name, value in (("xray_gain", xray_gain), ("photon_energy", photon_energy)):
        if np.ndim(value) == 0 and not (np.isfinite(value) and value > 0):
            raise BadParameter(f"{name} is {value}, needs a number above 0")
    if medium_shift is not None:
        offset = np.array(offset, np.float64)
        offset[:, 1] -= medium_shift[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.asarray(xray_gain, np.float64) / (1.0 if relative is None else relative)
    gain = np.broadcast_to(gain, np.broadcast_shapes(np.shape(gain), (1, 1, *offset.shape[2:])))
    return pack_constants(offset, gain, bad_pixels, photon_energy)


def _check_axes(name: str, array: np.ndarray, at_least: int) -> None:
    if array.ndim != 4 or array.shape[1] < at_least:
        raise ValueError(f"{name} has shape {array.shape}, needs (cell, {at_least}, slow_scan, fast_scan)")


@njit(nogil=True, cache=True)
def _floor(thresholds, gap, packed):
    for c in range(packed.shape[0]):
        for p in range(packed.shape[2]):
            first, second = thresholds[c, 0, p], thresholds[c, 1, p]
            packed[c, 0, p] = _to_u2(np.floor(first), NEVER)
            too_near = gap & (second <= GAP_RATIO * first)
            packed[c, 1, p] = NEVER if too_near else _to_u2(np.floor(second), NEVER)


@njit(nogil=True, cache=True)
def _ceiling(offset, limit, packed):
    for c in range(packed.shape[0]):
        for p in range(packed.shape[1]):
            packed[c, p] = _to_u2(np.ceil(offset[c, p] + limit), 0)


@njit(nogil=True, cache=True)
def _to_u2(value, missing):
    """A whole f8 number, cut to the range of u2; NaN becomes `missing`."""
    value = value if value > 0 else (0.0 if value == value else float(missing))
    return np.uint16(np.int32(value if value < NEVER else float(NEVER)))
