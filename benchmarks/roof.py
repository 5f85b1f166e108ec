"""The memory's limit: loops that move the bytes of a kernel and do nothing with them.

Plain stores fetch the line of memory that they are going to overwrite;
non-temporal ones don't, and are the lower bound of any kernel's time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

VECTOR = 32
"""Bytes of an AVX register."""


def _mover(name: str, non_temporal: bool):
    """An intrinsic (target address, source address): moves one vector."""

    def move(typingctx, target, source):
        def codegen(context, builder, signature, args):
            pointer = ir.VectorType(ir.IntType(32), VECTOR // 4).as_pointer()
            target, source = (builder.inttoptr(address, pointer) for address in args)
            store = builder.store(builder.load(source, align=VECTOR), target, align=VECTOR)
            if non_temporal:
                one = ir.Constant(ir.IntType(32), 1)
                store.set_metadata("nontemporal", builder.module.add_metadata([one]))

        return types.void(types.uintp, types.uintp), codegen

    move.__name__ = name
    return intrinsic(move)


_plain, _non_temporal = _mover("_plain", False), _mover("_non_temporal", True)


def _loop(move):
    @njit(nogil=True)
    def run(source, target, reads, writes, steps):
        for step in range(steps):
            begin = source + np.uint64(step * reads * VECTOR)
            out = target + np.uint64(step * writes * VECTOR)
            for i in range(writes):
                move(out + np.uint64(i * VECTOR), begin + np.uint64(i % reads * VECTOR))

    return run


_LOOPS = {True: _loop(_non_temporal), False: _loop(_plain)}


class Roof:
    """Reads and writes as many bytes per pixel as a kernel, a slice of frames at a time."""

    def __init__(self, frames: int, pixels: int, reads: int, writes: int, *, non_temporal: bool):
        self._reads, self._writes, self._steps = reads, writes, pixels // VECTOR
        self._run = _LOOPS[non_temporal]
        self._source = _aligned(frames * pixels * reads)
        self._target = _aligned(frames * pixels * writes)

    def __call__(self, part: slice) -> None:
        first = part.start * self._steps * VECTOR
        self._run(
            np.uint64(self._source.ctypes.data + first * self._reads),
            np.uint64(self._target.ctypes.data + first * self._writes),
            self._reads,
            self._writes,
            (part.stop - part.start) * self._steps,
        )


def _aligned(size: int) -> np.ndarray:
    array = np.ones(size + VECTOR, np.uint8)
    start = -array.ctypes.data % VECTOR
    return array[start : start + size]


def in_threads(threads: int, work: Callable[[slice], object], items: int) -> Callable[[], object]:
    """A call that does `work` on equal slices of the items, each in a thread."""
    pool = ThreadPoolExecutor(threads)
    bounds = np.linspace(0, items, threads + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
    return lambda: list(pool.map(work, parts))


def bandwidth(threads: int, *, non_temporal: bool) -> float:
    """Bytes per second that a copy of 256 MB moves (read and written), best of 5."""
    from benchmarks.timing import seconds

    roof = Roof(64, 1 << 22, 1, 1, non_temporal=non_temporal)
    call = in_threads(threads, roof, 64)
    call()
    return 2 * 64 * (1 << 22) / min(seconds(call) for _ in range(5))
