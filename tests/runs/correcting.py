"""A stand-in for a correction: simple, but different for each pixel and frame."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from raw_runs import MadeFile

from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.raw_file import open_raw


def corrected_arrays(adc: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """data f4, gain stage u1, mask u4 of raw images, in the same shape."""
    data = (adc.astype("f4") - np.float32(1234.5)) / np.float32(41.5)
    stage = np.array([0, 1, 255, 2], "u1")[gain]
    mask = np.where(adc % 97 == 0, np.uint32(1 << 31), np.uint32(0))
    return data, stage, mask


def correct(
    made: MadeFile,
    target: Path,
    frames: int = 8,
    threads: int = 2,
    order: Callable[[list], list] = lambda blocks: blocks,
) -> None:
    """Write the corrected file, with the blocks in a chosen order, from several threads."""
    with (
        open_raw(made.path, made.detector, made.karabo_id) as raw,
        CorrectedWriter(target, raw, made.detector) as writer,
        ThreadPoolExecutor(threads) as pool,
    ):
        blocks = [
            (replace(block, images={}), *corrected_arrays(block.images["adc"], block.images["gain"]))
            for block in raw.blocks(frames)
        ]
        list(pool.map(lambda arguments: writer.write(*arguments), order(blocks)))
