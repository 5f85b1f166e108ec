"""The memory's limit: a loop that moves the bytes of a kernel and does nothing with them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit


@njit(nogil=True)
def move_planes(adc, code, data, gain, mask):
    """Read u2 and u1, write f4, u1, u4: the traffic of a correction without its constants."""
    for n in range(adc.shape[0]):
        for i in range(adc.shape[1]):
            data[n, i] = adc[n, i]
            gain[n, i] = code[n, i]
            mask[n, i] = code[n, i]


@njit(nogil=True)
def _copy(source, target):
    for i in range(source.size):
        target[i] = source[i]


def in_threads(threads: int, work: Callable[[slice], object], items: int) -> Callable[[], object]:
    """A call that does `work` on equal slices of the items, each in a thread."""
    pool = ThreadPoolExecutor(threads)
    bounds = np.linspace(0, items, threads + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
    return lambda: list(pool.map(work, parts))


def bandwidth(threads: int) -> float:
    """Bytes per second that a plain copy of 256 MB moves (read and written), best of 5."""
    from benchmarks.timing import seconds

    source, target = np.ones(1 << 26, np.float32), np.zeros(1 << 26, np.float32)
    call = in_threads(threads, lambda part: _copy(source[part], target[part]), source.size)
    call()
    return 2 * source.nbytes / min(seconds(call) for _ in range(5))
