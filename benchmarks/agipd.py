"""AGIPD's kernel, against the memory, NumPy and the numba loop that one writes first.

All do the same work: gain stage, signal, mask word with its bits for values out
of range and for what is no number. Results are where tasks have them, in arrays
that begin at a page of memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from benchmarks.roof import Roof, in_threads
from benchmarks.samples import AGIPD_SHAPE, agipd_constants, agipd_dark_frames, agipd_frames
from benchmarks.timing import Comparison
from calibook.calibration.agipd.correct import AgipdCorrection, ChipMode, correct_agipd_frames
from calibook.detectors.agipd import ASIC_SHAPE
from calibook.kernels import bits
from calibook.kernels.analogue_gain import ADC_MAX, MAX_SIGNAL, correct_frames
from calibook.kernels.analogue_packing import (
    AnalogueConstants,
    pack_analogue,
    pack_force_below,
    pack_signal,
    pack_thresholds,
)
from calibook.runs.direct import aligned_empty

CELLS, TRAINS = 64, 16
FRAMES = CELLS * TRAINS
LIMIT = 1000.0
"""ADU above its offset that a signal needs for medium and for low gain, where that is a rule."""


def comparisons() -> Iterator[Comparison]:
    """All comparisons of AGIPD's kernel: 64 cells of 16 trains."""
    outputs = _outputs()
    yield from _plain(*outputs)
    yield from _all_options(*outputs)


def _outputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (FRAMES, AGIPD_SHAPE[0] * AGIPD_SHAPE[1])
    return aligned_empty(shape, "f4"), aligned_empty(shape, "u1"), aligned_empty(shape, "u4")


def _plain(data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> Iterator[Comparison]:
    constants, frames = packed_constants(CELLS), agipd_frames(CELLS, TRAINS)
    raw, cell = _by_cell(frames)
    arrays = constants.threshold, constants.offset, constants.scale, constants.mask

    def correct(part: slice) -> None:
        correct_frames(raw[part], cell[part], constants, data[part], gain[part], mask[part])

    def plain(part: slice) -> None:
        _frame_by_frame(raw[part], cell[part], *arrays, data[part], gain[part], mask[part])

    def with_numpy(part: slice) -> None:
        for n in range(FRAMES)[part]:
            data[n], gain[n], mask[n] = _numpy_frame(raw[n], *(a[cell[n]] for a in arrays))

    def check() -> None:
        with_numpy(some := slice(0, FRAMES, 100))
        expected = [array[some].copy() for array in (data, gain, mask)]
        for other in (plain, correct):
            other(slice(0, FRAMES))
            for found, wanted in zip((data, gain, mask), expected, strict=True):
                assert np.array_equal(found[some], wanted)

    for threads in (1, 2):
        for kind, name in ((True, "roof"), (False, "plain_roof")):
            yield Comparison(
                f"agipd_kernel_vs_{name}_{threads}t",
                f"moving the same bytes, {'non-temporal' if kind else 'plain'}",
                in_threads(threads, correct, FRAMES),
                in_threads(threads, Roof(FRAMES, data.shape[1], 4, 9, non_temporal=kind), FRAMES),
                check,
            )
    yield Comparison(
        "agipd_kernel_vs_plain_numba_2t",
        "numba, frame by frame",
        in_threads(2, correct, FRAMES),
        in_threads(2, plain, FRAMES),
        check,
    )
    few = slice(0, 64)
    yield Comparison(
        "agipd_kernel_vs_numpy_1t",
        "NumPy, frame by frame",
        lambda: correct(few),
        lambda: with_numpy(few),
        check,
    )


def _all_options(data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> Iterator[Comparison]:
    """Common mode, both rules of the gain stage, no negative medium signals; frames with little light."""
    given = agipd_constants(CELLS)
    constants = packed_constants(CELLS, pack_force_below(given["offset"], LIMIT, LIMIT))
    raw, cell = _by_cell(agipd_dark_frames(CELLS, TRAINS, given["offset"]))
    correction = AgipdCorrection(constants, medium_not_negative=True, common_mode=ChipMode())

    def correct(part: slice) -> np.ndarray:
        arrays = raw[part], cell[part], correction, data[part], gain[part], mask[part]
        return correct_agipd_frames(*arrays, AGIPD_SHAPE).chips

    def check() -> None:
        shifts = correct(some := slice(0, 4))
        # A shift belongs to a chip; there are as many on each axis as fit the module.
        moved = np.kron(shifts, np.ones(ASIC_SHAPE, np.float32)).reshape(4, -1)
        stages, c = gain[some], cell[some]
        offset, scale = (
            np.take_along_axis(a[c], stages[:, None], 1)[:, 0] for a in (constants.offset, constants.scale)
        )
        signal = raw[some, 0].astype(np.float32) - offset
        taken = np.where((stages == 0) & (mask[some] == 0), moved, np.float32(0))
        assert np.abs(shifts).max() > 1 and (stages > 0).any()
        assert not ((stages > 0) & (raw[some, 0] < np.ceil(constants.offset[c, 0] + LIMIT))).any()
        assert np.array_equal(
            data[some], np.where(stages == 1, np.maximum(signal, 0), signal - taken) * scale
        )

    yield Comparison(
        "agipd_kernel_all_options_vs_roof_2t",
        "moving the same bytes, non-temporal",
        in_threads(2, correct, FRAMES),
        in_threads(2, Roof(FRAMES, data.shape[1], 4, 9, non_temporal=True), FRAMES),
        check,
    )


def _by_cell(frames: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Raw frames and their cells as tasks order them: all trains of a cell together."""
    order = np.argsort(frames["cell"], kind="stable")
    return frames["raw"][order], frames["cell"][order]


def packed_constants(cells: int, force_below: np.ndarray | None = None) -> AnalogueConstants:
    """Of a module, in ADU of high gain."""
    given = agipd_constants(cells)
    return pack_analogue(
        pack_signal(given["offset"], given["relative"], bad_pixels=given["bad_pixels"]),
        pack_thresholds(given["thresholds"]),
        force_below,
    )


def _numpy_frame(raw, threshold, offset, scale, word) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    adc, level = raw
    stage = np.zeros(adc.shape, np.uint8)
    stage[level > threshold[0]] = 1
    stage[level > threshold[1]] = 2
    data = (adc.astype(np.float32) - np.choose(stage, offset)) * np.choose(stage, scale)
    mask = np.choose(stage, word)
    mask[(adc == 0) | (adc >= ADC_MAX) | (np.abs(data) > MAX_SIGNAL)] |= bits.VALUE_OUT_OF_RANGE
    mask[~np.isfinite(data)] |= bits.VALUE_IS_NAN
    return data, stage, mask


@njit(nogil=True)
def _frame_by_frame(raw, cell, threshold, offset, scale, word, data, gain, mask):
    for n in range(raw.shape[0]):
        c = cell[n]
        for p in range(raw.shape[2]):
            a, level = raw[n, 0, p], raw[n, 1, p]
            g = 0
            if level > threshold[c, 1, p]:
                g = 2
            elif level > threshold[c, 0, p]:
                g = 1
            x = (np.float32(a) - offset[c, g, p]) * scale[c, g, p]
            w = word[c, g, p]
            if a == 0 or a >= ADC_MAX or np.abs(x) > MAX_SIGNAL:
                w |= bits.VALUE_OUT_OF_RANGE
            if not np.isfinite(x):
                w |= bits.VALUE_IS_NAN
            data[n, p] = x
            gain[n, p] = g
            mask[n, p] = w
