"""Correct frames of AGIPD: gain stage to photons, and in which order frames are best read.

Constants weigh more than frames. So of some trains the frames of one memory
cell after the other are corrected: a cell's constants are then fetched once
for many frames. In the file frames keep the order of the raw one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np

from calibook.detectors.agipd import ASIC_SHAPE, CELLS_PER_ROW, MEDIUM_TO_LOW_RATIO
from calibook.detectors.bad_pixels import INFORMATIONAL, BadPixels
from calibook.errors import BadParameter
from calibook.kernels.analogue_gain import apply_scale, correct_frames
from calibook.kernels.analogue_packing import AnalogueConstants
from calibook.kernels.baseline import light_shift
from calibook.kernels.bits import ALL
from calibook.kernels.cell_mode import CellSums
from calibook.kernels.dark_peak import DarkPeak
from calibook.kernels.dark_shift import dark_peak_shift, raw_dark_peak_shift, shift_of_lanes
from calibook.kernels.dark_window import dark_window_shift
from calibook.kernels.packing import PackedConstants
from calibook.kernels.photons import round_photons
from calibook.kernels.pixel_checks import melt_snow, replace_outside
from calibook.runs.raw_file import RawModuleFile

_EXCLUDED = int(ALL) & ~int(INFORMATIONAL)
ESTIMATORS = ("unshared", "window")
STAGE_RATIOS = (1.0, 32.0, 32.0 * MEDIUM_TO_LOW_RATIO)
"""ADU of high gain per ADU of each stage, roughly: for means over many pixels."""
TRAINS_TOGETHER = 16
"""With that many frames per fetch constants are a fifth of the bytes moved."""

Constants = TypeVar("Constants", bound=PackedConstants)
Baseline = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Takes data, gain, mask (frame, pixel); corrects data in place, returns its shift f4 (frame,) ADU."""


@dataclass(frozen=True)
class ChipMode:
    """Options of the common mode of chips.

    dark_range, iterations: of the "window" estimator, see `kernels.dark_window`
    fraction: share of a chip's pixels that must be dark
    estimator: "unshared" is not misled by charge that neighbours share, see
        `kernels.dark_peak`; "window" is European XFEL's
    noise, max_shift: of the "unshared" estimator, ADU
    per_light: before that, the baseline of each chip moves by so much of its mean
        signal, see `kernels.baseline.light_shift`; for chips without dark pixels. It
        is found where there are some; 0 for not

    Raises BadParameter for another estimator.
    """

    dark_range: tuple[float, float] = (-30.0, 30.0)
    fraction: float = 0.15
    iterations: int = 4
    estimator: str = "unshared"
    noise: float = 8.0
    max_shift: float = 400.0
    per_light: float = 0.0

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise BadParameter(f"estimator is {self.estimator!r}, needs one of {', '.join(ESTIMATORS)}")

    def take_out(self, data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Correct frames (frame, slow_scan, fast_scan) in place, and return the chips' shifts."""
        frames = data, gain, mask, ASIC_SHAPE
        if self.per_light:
            light = light_shift(*frames, self.per_light, STAGE_RATIOS, excluded=_EXCLUDED)
            return light + replace(self, per_light=0.0).take_out(data, gain, mask)
        if self.estimator == "window":
            window = self.dark_range, self.fraction, self.iterations
            return dark_window_shift(*frames, *window, excluded=_EXCLUDED)
        return dark_peak_shift(*frames, self.peak, excluded=_EXCLUDED)

    @property
    def peak(self) -> DarkPeak:
        return DarkPeak(self.noise, self.fraction, self.max_shift)

    @property
    def can_find_first(self) -> bool:
        """Whether shifts can be found in raw frames."""
        return self.estimator == "unshared" and not self.per_light


@dataclass(frozen=True)
class AgipdCorrection:
    """What is done to every frame.

    constants: of `agipd.constants.pack_agipd`
    nan_bits: data becomes NaN where the mask has one of these bits
    medium_not_negative: medium signals below their offset count as 0
    fixed_stage: of a run in a fixed-gain mode; None for adaptive gain
    baseline: e.g. a functools.partial of one of `kernels.baseline`
    snow_below: pixels not in high gain with less signal than this are snow, and
        filled from their neighbours; in the unit of the result, None for not
    rounding_threshold: photons are rounded to whole numbers with it; None leaves them
    zero_outside: (low, high) in the unit of the result: values beyond become 0; None for not
    zero_nans: NaN becomes 0, too
    """

    constants: PackedConstants
    nan_bits: int = 0
    medium_not_negative: bool = False
    fixed_stage: int | None = None
    baseline: Baseline | None = None
    common_mode: ChipMode | None = None
    snow_below: float | None = None
    rounding_threshold: float | None = None
    zero_outside: tuple[float, float] | None = None
    zero_nans: bool = False

    @property
    def finds_shifts_first(self) -> bool:
        """Whether all shifts can be found in raw frames, before these are corrected."""
        adaptive = isinstance(self.constants, AnalogueConstants) and self.fixed_stage is None
        chips = self.common_mode
        return adaptive and self.baseline is None and chips is not None and chips.can_find_first


@dataclass(frozen=True)
class Shifts:
    """What was taken from frames, ADU of high gain.

    baseline: f4 (frame,); chips: f4 (frame, chips on slow_scan, chips on fast_scan)
    """

    baseline: np.ndarray
    chips: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """f4 (frame,), what `image.blShift` tells: the baseline's and the mean of the chips'."""
        return self.baseline + self.chips.mean(axis=(1, 2), dtype=np.float32)


def correct_agipd_frames(
    raw: np.ndarray,
    cells: np.ndarray,
    correction: AgipdCorrection,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    shape: tuple[int, int],
) -> Shifts:
    """Correct frames of one module: one fused pass, or two with baseline and common mode between.

    If the shifts of chips are all that comes between, they are found in the raw frames, and taken out in
    the fused pass: to the same bits, in two thirds of the time.

    raw: u2 (frame, 2, pixel); cells: i8 (frame,)
    data, gain, mask: f4, u1, u4 (frame, pixel), overwritten with the result
    shape: (slow_scan, fast_scan)
    """
    if correction.finds_shifts_first:
        shifts = _in_one_pass(raw, cells, correction, data, gain, mask, shape)
    else:
        between = correction.baseline is not None or correction.common_mode is not None
        shifts = _to_signals(raw, cells, correction, data, gain, mask, shape, offset_only=between)
        if between:
            apply_scale(data, gain, mask, cells, correction.constants, correction.nan_bits)
    if correction.snow_below is not None:
        x, g, m = (array.reshape(-1, *shape) for array in (data, gain, mask))
        melt_snow(x, g, m, correction.snow_below, int(BadPixels.INTERPOLATED))
    if correction.rounding_threshold is not None:
        round_photons(data, correction.rounding_threshold)
    if correction.zero_outside is not None or correction.zero_nans:
        low, high = correction.zero_outside or (-np.inf, np.inf)
        replace_outside(data, low, high, correction.zero_nans)
    return shifts


def _in_one_pass(
    raw: np.ndarray,
    cells: np.ndarray,
    correction: AgipdCorrection,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    shape: tuple[int, int],
) -> Shifts:
    constants, common_mode = correction.constants, correction.common_mode
    assert isinstance(constants, AnalogueConstants) and common_mode is not None
    chips = raw_dark_peak_shift(raw, cells, constants, shape, ASIC_SHAPE, common_mode.peak, _EXCLUDED)
    correct_frames(
        raw, cells, constants, data, gain, mask,
        nan_mask=correction.nan_bits, medium_not_negative=correction.medium_not_negative,
        shift=shift_of_lanes(chips, shape), excluded=_EXCLUDED,
    )  # fmt: skip
    return Shifts(np.zeros(len(raw), np.float32), chips)


def _to_signals(
    raw: np.ndarray,
    cells: np.ndarray,
    correction: AgipdCorrection,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    shape: tuple[int, int],
    offset_only: bool,
) -> Shifts:
    """Up to the common mode; `offset_only` is as in `correct_frames`."""
    correct_frames(
        raw, cells, correction.constants, data, gain, mask,
        nan_mask=correction.nan_bits, medium_not_negative=correction.medium_not_negative,
        fixed_stage=correction.fixed_stage, offset_only=offset_only,
    )  # fmt: skip
    baseline = np.zeros(len(raw), np.float32)
    if correction.baseline is not None:
        baseline = correction.baseline(data, gain, mask)
    chips = np.zeros((len(raw), shape[0] // ASIC_SHAPE[0], shape[1] // ASIC_SHAPE[1]), np.float32)
    if correction.common_mode is not None:
        chips = correction.common_mode.take_out(*(a.reshape(-1, *shape) for a in (data, gain, mask)))
    return Shifts(baseline, chips)


def add_to_cell_sums(
    sums: CellSums,
    raw: np.ndarray,
    cells: np.ndarray,
    correction: AgipdCorrection,
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    shape: tuple[int, int],
) -> None:
    """Look at frames for what pixels are off by in rows of memory cells, see `kernels.cell_mode`.

    Arguments as in `correct_agipd_frames`; data, gain and mask are overwritten.
    All frames of a file are looked at before one is corrected: by threads with
    sums of their own, which are merged, in any order.
    """
    _to_signals(raw, cells, correction, data, gain, mask, shape, offset_only=True)
    x, g, m = (array.reshape(-1, *shape) for array in (data, gain, mask))
    sums.add(x, g, m, cells, excluded=_EXCLUDED)


def with_cell_offsets(constants: Constants, offsets: np.ndarray) -> Constants:
    """Constants whose offsets of high gain are moved, by row of memory cells.

    offsets: f4 (row of cells, slow_scan, fast_scan), ADU, of `CellSums.offsets`
    """
    offset = np.repeat(constants.offset, constants.cells // len(constants.offset), axis=0)
    offset[:, 0] += offsets.reshape(len(offsets), -1).repeat(CELLS_PER_ROW, axis=0)[: constants.cells]
    return replace(constants, offset=offset)


def select_frames(
    raw: RawModuleFile, max_pulses: Sequence[int] = (), lit_pulses: Sequence[int] | None = None
) -> None:
    """Leave out frames of a raw file before they are read.

    max_pulses: memory cells, as range(*max_pulses) takes them: [stop], [start, stop] or
        [start, stop, step]; empty for all
    lit_pulses: pulse IDs with light; None for all

    Raises BadInput if no frame is left.
    """
    keep = np.ones(raw.n_entries, bool)
    if max_pulses:
        keep &= np.isin(raw.ids(raw.detector.cell_key), np.arange(*max_pulses))
    if lit_pulses is not None:
        keep &= np.isin(raw.ids("pulseId"), np.asarray(lit_pulses, "u8"))
    if not keep.all():
        raw.select(keep)


def cell_by_cell(raw: RawModuleFile, frames: int, trains: int = TRAINS_TOGETHER) -> list[np.ndarray]:
    """Entries of a raw file in the order in which they are best corrected, in parts of at most `frames`.

    Of `trains` trains at a time, those of one memory cell stand together.
    Returns i8 arrays, which together hold every entry once.
    """
    cell = raw.ids(raw.detector.cell_key)
    ends = np.concatenate([[0], np.cumsum(raw.count)])
    bounds = np.append(ends[:-1:trains], ends[-1])
    parts = []
    for start, stop in pairwise(bounds.tolist()):
        order = start + np.argsort(cell[start:stop], kind="stable")
        parts += [order[i : i + frames] for i in range(0, len(order), frames)]
    return parts
