"""Results that are written once and read later go past the caches.

A plain store fetches the line of memory that it is about to overwrite, and
keeps it where constants should stay. Non-temporal stores do neither, if they
fill whole lines, each at once. So kernels make a line of results in registers, see
`lane_steps`; or put those of some hundred pixels into scratch memory, which
stays in a core's L1 cache, and copy them from there.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from calibook.kernels.intrinsics import intrinsic

LINE = 64
"""Bytes of a line of the cache."""
AHEAD = np.uint64(4096)
"""Bytes from what is worked on to what is fetched. At the end of a tile that belongs to the next one."""


@intrinsic
def _stream_line(typingctx, target, source):
    """Copy a line from one address to another, the target's a multiple of LINE."""

    def codegen(context, builder, signature, args):
        pointer = ir.VectorType(ir.IntType(32), LINE // 4).as_pointer()
        target, source = (builder.inttoptr(address, pointer) for address in args)
        store = builder.store(builder.load(source, align=4), target, align=LINE)
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))

    return types.void(types.uintp, types.uintp), codegen


@intrinsic
def _copy(typingctx, target, source, count):
    """Copy some bytes from one address to another, plainly."""

    def codegen(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(address, pointer) for address in args[:2])
        cgutils.raw_memcpy(builder, target, source, args[2], 1)

    return types.void(types.uintp, types.uintp, types.uintp), codegen


@intrinsic
def fetch_line(typingctx, address):
    """Begin to bring the line at an address into the caches."""

    def codegen(context, builder, signature, args):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # For reading, to be kept near, of data.
        builder.call(fetch, [builder.inttoptr(args[0], pointer), number(0), number(3), number(1)])

    return types.void(types.uintp), codegen


@intrinsic
def finish_streaming(typingctx):
    """What was streamed is seen by other threads before anything that is stored later."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")

    return types.void(), codegen


@njit(nogil=True, cache=True)
def pixels_to_line(target):
    """Items of an array up to the first whole line: tiles that begin there have no parts of lines."""
    return (-target.ctypes.data % LINE) // target.itemsize


@njit(nogil=True, cache=True)
def whole_lines(target, p):
    """Whether pixel p of every frame of a target (frame, pixel) begins a line."""
    first, row = target.ctypes.data + p * target.itemsize, target.shape[1] * target.itemsize
    return first % LINE == 0 and row % LINE == 0


@njit(nogil=True, cache=True)
def stream_pair(near, row, target, n, m, p, q):
    """Copy two rows of results, `row` items apart, to the pixels p to q of frames n and m of (frame, pixel).

    A frame that is its own partner is copied once.
    """
    stream(near, 0, target, n, p, q)
    if m != n:
        stream(near, row, target, m, p, q)


@njit(nogil=True, cache=True)
def stream(near, begin, target, n, p, q):
    """Copy items, from `begin`, to the pixels p to q of frame n; parts of lines are stored plainly."""
    size = np.uint64(near.itemsize)
    source = np.uint64(near.ctypes.data) + np.uint64(begin) * size
    to = np.uint64(target.ctypes.data) + (np.uint64(n) * np.uint64(target.shape[1]) + np.uint64(p)) * size
    left = np.uint64(q - p) * size
    head = min(left, (np.uint64(0) - to) & np.uint64(LINE - 1))
    if head:
        _copy(to, source, head)
        to, source, left = to + head, source + head, left - head
    for _ in range(left // np.uint64(LINE)):
        _stream_line(to, source)
        to, source = to + np.uint64(LINE), source + np.uint64(LINE)
    if left % np.uint64(LINE):
        _copy(to, source, left % np.uint64(LINE))


@njit(nogil=True, cache=True)
def fetch(samples, n, p, q):
    """Begin to bring the pixels p to q of row n of samples, (row, pixel) or (frame, plane, pixel), nearer."""
    size = np.uint64(samples.itemsize)
    first = np.uint64(n) * np.uint64(samples.shape[samples.ndim - 1]) + np.uint64(p)
    at = np.uint64(samples.ctypes.data) + first * size
    for _ in range(np.uint64(q - p) * size // np.uint64(LINE)):
        fetch_line(at)
        at += np.uint64(LINE)
