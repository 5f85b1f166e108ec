"""AGIPD's kernel, against the memory, NumPy and the numba loop that one writes first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from benchmarks.roof import Roof, in_threads
from benchmarks.samples import agipd_constants, agipd_frames
from benchmarks.timing import Comparison
from calibook.kernels.analogue_gain import correct_frames
from calibook.kernels.analogue_packing import AnalogueConstants, pack_analogue, pack_signal, pack_thresholds

CELLS, TRAINS = 64, 16
FRAMES = CELLS * TRAINS


def comparisons() -> Iterator[Comparison]:
    """All comparisons of AGIPD's kernel: 64 cells of 16 trains."""
    constants, frames = packed_constants(CELLS), agipd_frames(CELLS, TRAINS)
    # As tasks order them: all trains of a cell together.
    order = np.argsort(frames["cell"], kind="stable")
    raw, cell = frames["raw"][order], frames["cell"][order]
    shape = (FRAMES, raw.shape[2])
    data, gain, mask = np.zeros(shape, "f4"), np.zeros(shape, "u1"), np.zeros(shape, "u4")
    arrays = constants.threshold, constants.offset, constants.scale, constants.mask

    def correct(part: slice) -> None:
        correct_frames(raw[part], cell[part], constants, data[part], gain[part], mask[part])

    def plain(part: slice) -> None:
        _frame_by_frame(raw[part], cell[part], *arrays, data[part], gain[part], mask[part])

    def with_numpy(part: slice) -> tuple[np.ndarray, ...]:
        c, level = cell[part], raw[part, 1]
        threshold = constants.threshold[c]
        stage = (level > threshold[:, 0]).astype(np.uint8) + (level > threshold[:, 1])
        offset, scale, word = (
            np.take_along_axis(a[c], stage[:, None], 1)[:, 0]
            for a in (constants.offset, constants.scale, constants.mask)
        )
        return (raw[part, 0] - offset) * scale, stage, word

    def check() -> None:
        some = slice(0, FRAMES, 100)
        expected = with_numpy(some)
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
                in_threads(threads, Roof(FRAMES, shape[1], 4, 9, non_temporal=kind), FRAMES),
                check,
            )
    yield Comparison(
        "agipd_kernel_vs_plain_numba_2t",
        "numba, frame by frame",
        in_threads(2, correct, FRAMES),
        in_threads(2, plain, FRAMES),
        check,
    )
    few = slice(0, 32)
    yield Comparison(
        "agipd_kernel_vs_numpy_1t", "NumPy", lambda: correct(few), lambda: with_numpy(few), check, rounds=3
    )


def packed_constants(cells: int) -> AnalogueConstants:
    """Of a module, in ADU of high gain."""
    given = agipd_constants(cells)
    return pack_analogue(
        pack_signal(given["offset"], given["relative"], bad_pixels=given["bad_pixels"]),
        pack_thresholds(given["thresholds"]),
    )


@njit(nogil=True)
def _frame_by_frame(raw, cell, threshold, offset, scale, word, data, gain, mask):
    for n in range(raw.shape[0]):
        c = cell[n]
        for p in range(raw.shape[2]):
            level = raw[n, 1, p]
            g = 0
            if level > threshold[c, 1, p]:
                g = 2
            elif level > threshold[c, 0, p]:
                g = 1
            data[n, p] = (np.float32(raw[n, 0, p]) - offset[c, g, p]) * scale[c, g, p]
            gain[n, p] = g
            mask[n, p] = word[c, g, p]
