"""Where the time of correcting a JUNGFRAU file goes: processor time of each stage, one thread."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from calibook.calibration.tally import Tally
from calibook.detectors.jungfrau import JUNGFRAU, signal_ranges
from calibook.kernels.gain_switching import correct_planes
from calibook.kernels.packing import PackedConstants
from calibook.runs.datasets import deflated
from calibook.runs.direct import DirectFile, aligned_empty
from calibook.runs.raw_file import open_raw

_FRAMES, _BLOCKS = 8, 12
STAGES = ("read", "correct", "statistics", "deflate", "write")


def stages(raw_path: Path, karabo_id: str, packed: PackedConstants, scratch: Path) -> dict[str, float]:
    """ns per pixel of each stage, the median over some blocks; waiting for the disk is not in it."""
    shape = (_FRAMES, packed.pixels)
    data, gain, mask = (aligned_empty(shape, dtype) for dtype in ("f4", "u1", "u4"))
    seconds: dict[str, list[float]] = defaultdict(list)
    scratch.touch()
    with open_raw(raw_path, JUNGFRAU, karabo_id) as raw, DirectFile(scratch) as file:
        tally = Tally(raw.image_shape, signal_ranges("keV", 9.3), raw.n_frames)
        buffers, cells = raw.new_buffers(_FRAMES), np.zeros(_FRAMES, np.int64)
        for entries in raw.parts(_FRAMES)[: _BLOCKS + 1]:
            times = [time.thread_time()]
            block = raw.read(entries, buffers)
            times.append(time.thread_time())
            correct_planes(block.images["adc"], block.images["gain"], cells, packed, data, gain, mask)
            times.append(time.thread_time())
            tally.add(raw.places_of(entries), data, gain, mask)
            times.append(time.thread_time())
            deflated(gain)
            deflated(mask)
            times.append(time.thread_time())
            file.write(data, int(entries[0]) * data[0].nbytes)
            times.append(time.thread_time())
            for stage, taken in zip(STAGES, np.diff(times), strict=True):
                seconds[stage].append(float(taken))
    # The first block also touches all buffers for the first time.
    return {stage: statistics.median(taken[1:]) * 1e9 / data.size for stage, taken in seconds.items()}
