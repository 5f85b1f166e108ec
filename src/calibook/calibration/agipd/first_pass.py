"""What the frames of a file show together, before the first of them is corrected.

Each of these takes a pass over the whole raw file. Threads read and look on
their own; what they found is put together, whatever the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from calibook.calibration.agipd.correct import (
    AgipdCorrection,
    add_to_cell_sums,
    cell_by_cell,
    select_frames,
    with_cell_offsets,
)
from calibook.calibration.workers import worker_threads
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.kernels.cell_mode import CellSums, frames_of_rows
from calibook.kernels.pixel_checks import Extremes
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import Block, RawModuleFile, open_raw

FEWEST_FRAMES = 10
"""Of a memory cell, to say that a pixel never changes: with noise of 8 ADU two frames are equal in one
of thirty good pixels, ten in none."""
_BLOCK_FRAMES = 64


@dataclass(frozen=True)
class Selection:
    """Which frames of a file are corrected, see `agipd.correct.select_frames`."""

    max_pulses: Sequence[int] = ()
    lit_pulses: Sequence[int] | None = None

    def apply(self, raw: RawModuleFile) -> None:
        """Leave out the others."""
        select_frames(raw, self.max_pulses, self.lit_pulses)


def stuck_pixels(detector: Detector, task: Task, threads: int | None = None) -> np.ndarray:
    """DATA_STD_IS_ZERO for pixels whose raw signal is the same in all frames of a memory cell in the file.

    All frames count, also those that aren't corrected. Cells with fewer than
    FEWEST_FRAMES frames are not judged.

    Returns u4 (cell, 1, slow_scan, fast_scan), for the cells up to the highest that occurs.
    """
    with open_raw(task.inputs[0], detector, task.about["karabo_id"]) as raw:
        count = np.bincount(raw.ids(detector.cell_key).astype("i8"))
        extremes, turn = Extremes.none(len(count), int(np.prod(raw.image_shape))), Lock()

        # There is but one table, of 92 MB: looking takes far less time than reading.
        def look(block: Block) -> None:
            with turn:
                extremes.add(block.images["data"].reshape(block.frames, 2, -1), block.cells)

        _each_block(raw, lambda: look, threads)
        stuck = extremes.constant() & (count >= FEWEST_FRAMES)[:, None]
        word = np.where(stuck, np.uint32(BadPixels.DATA_STD_IS_ZERO), np.uint32(0))
        return word.reshape(len(count), 1, *raw.image_shape)


def with_cell_common_mode(
    detector: Detector,
    task: Task,
    correction: AgipdCorrection,
    selection: Selection | None = None,
    fraction: float = 0.15,
    threads: int | None = None,
) -> AgipdCorrection:
    """The correction with offsets that this file's dark samples show, see `kernels.cell_mode`.

    That is of each pixel and row of 32 memory cells, after baseline and common mode of the chips.

    selection: frames that are corrected, and looked at
    fraction: share of the frames of these cells in which a pixel must have been dark
    """
    constants = correction.constants
    with open_raw(task.inputs[0], detector, task.about["karabo_id"]) as raw:
        (selection or Selection()).apply(raw)
        sums: list[CellSums] = []

        def looker() -> Callable[[Block], None]:
            own = CellSums.zeros(constants.cells, raw.image_shape)
            sums.append(own)
            shape = (_BLOCK_FRAMES, constants.pixels)
            images = [np.empty(shape, dtype) for dtype in ("f4", "u1", "u4")]

            def look(block: Block) -> None:
                data, gain, mask = (image[: block.frames] for image in images)
                planes = block.images["data"].reshape(block.frames, 2, -1)
                add_to_cell_sums(
                    own, planes, cells_of(block, constants.cells), correction, data, gain, mask,
                    raw.image_shape,
                )  # fmt: skip

            return look

        _each_block(raw, looker, threads)
        for other in sums[1:]:
            sums[0].merge(other)
        frames = frames_of_rows(raw.ids(detector.cell_key), constants.cells)
    return replace(correction, constants=with_cell_offsets(constants, sums[0].offsets(frames, fraction)))


def cells_of(block: Block, cells: int) -> np.ndarray:
    """Cells of a block's frames in constants of so many cells, of which a single one is for all."""
    return block.cells if cells > 1 else np.zeros(block.frames, np.int64)


def _each_block(
    raw: RawModuleFile, looker: Callable[[], Callable[[Block], None]], threads: int | None
) -> None:
    """Give each block of frames to one of the functions that `looker` makes, one for each thread."""
    parts = [part for group in cell_by_cell(raw, raw.n_frames) for part in raw.parts(_BLOCK_FRAMES, group)]
    threads = threads or worker_threads()
    looks = [looker() for _ in range(threads)]

    def work(number: int) -> None:
        buffers = raw.new_buffers(_BLOCK_FRAMES)
        for part in parts[number::threads]:
            looks[number](raw.read(part, buffers))

    with ThreadPoolExecutor(threads, "look") as pool:
        list(pool.map(work, range(threads)))
