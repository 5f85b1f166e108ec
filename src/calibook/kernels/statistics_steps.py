"""Sums over corrected frames, for 16 pixels at once, in explicit packed instructions; see `lane_steps`.

The compiler packs loops that do one thing. Here all is done with a sample that is fetched once, and the
sums of a pixel move once for some frames, so that the memory sets the pace.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lane_steps import F32, I8, I16, I32, WIDE, Step, vector
from calibook.kernels.lanes import LARGEST

STEP = np.float32(2.0**-16)
"""Values are rounded to multiples of it before they are summed. 2^37 of the data's unit, e.g. ten
million frames of 10 MeV in keV, then fit into the 53 bits of f8 without rounding again."""
LIMIT = np.float32(2.0**24)
"""Values beyond are summed as if they were this large."""
FRAMES = 4
"""Whose sums move once. More are more streams of memory than a processor foresees."""
SIDE_BY_SIDE = WIDE // 2
"""Sums of a frame that grow side by side: as many f8 as fill a line."""
_PER_STEP = np.float32(1 / STEP)

I64, F64 = ir.IntType(64), ir.DoubleType()


@njit(nogil=True, cache=True)
def summed(x, word, excluded):
    """What is summed of a sample, f8, and whether it is used: finite and without an excluded bit."""
    used = (np.abs(x) <= LARGEST) & ((word & excluded) == 0)
    x = min(max(x, -LIMIT), LIMIT)
    return np.float64(np.rint(x * _PER_STEP) * STEP if used else np.float32(0)), used


class Samples(Step):
    """Corrected samples of WIDE pixels, and sums that they are added to, by address."""

    def __init__(self, builder: ir.IRBuilder, excluded):
        super().__init__(builder, WIDE)
        self._excluded = self.spread(excluded, I32)

    def used(self, x, word):
        """Where a value is finite and has no excluded bit."""
        b = self.b
        size = b.and_(b.bitcast(x, self.vector(I32)), self.same(I32, 0x7FFFFFFF))
        finite = b.icmp_signed("<", size, self.same(I32, 0x7F800000))
        return b.and_(finite, b.icmp_unsigned("==", b.and_(word, self._excluded), self.same(I32, 0)))

    def summed(self, x, word) -> tuple[Any, Any]:
        """What is summed, f8, and where a value is used."""
        b, used = self.b, self.used(x, word)
        most, least, step = (self.same(F32, float(value)) for value in (LIMIT, -LIMIT, STEP))
        x = b.select(b.fcmp_ordered("<", x, most), x, most)
        x = b.select(b.fcmp_ordered(">", x, least), x, least)
        x = b.fmul(self.rounded(b.fmul(x, self.same(F32, float(_PER_STEP)))), step)
        return b.fpext(b.select(used, x, self.same(F32, 0.0)), self.vector(F64)), used

    def number(self, values):
        """Small numbers, or how often something is: as u4."""
        return self.b.zext(values, self.vector(I32))

    def most(self, x, y):
        return self.b.select(self.b.icmp_unsigned(">", x, y), x, y)

    def join(self, how, values: list, into) -> None:
        """Add the values to those at an address, or whatever joins two of them."""
        value, few = reduce(how, values), Step(self.b, values[0].type.count)
        few.store(how(few.load(into, value.type.element), value), into)

    def add_all(self, value, used, total, count) -> None:
        """To SIDE_BY_SIDE sums f8, and to a count i8, of all pixels."""
        b = self.b
        lanes = (list(range(first, first + SIDE_BY_SIDE)) for first in (0, SIDE_BY_SIDE))
        halves = [
            b.shuffle_vector(value, value, ir.Constant(vector(I32, SIDE_BY_SIDE), part)) for part in lanes
        ]
        self.join(b.fadd, [b.fadd(*halves)], total)
        counter = b.inttoptr(count, I64.as_pointer())
        b.store(b.add(b.load(counter), b.zext(b.ctpop(b.bitcast(used, I16)), I64)), counter)


class _Frames(Samples):
    """The pixels from `at` of some frames."""

    def __init__(self, builder: ir.IRBuilder, excluded, at):
        super().__init__(builder, excluded)
        self._at = at

    def pixels(self, array, size: int, first=None):
        """Where they are in an array with items of so many bytes, behind its first one or another."""
        at = self._at if first is None else self.b.add(first, self._at)
        return self.b.add(array, self.b.mul(at, ir.Constant(at.type, size)))

    def of_frame(self, array, n: int, size: int):
        return self.b.add(array, ir.Constant(array.type, n * size))

    def add_stages(self, gains: list, of_pixels, of_all) -> None:
        b = self.b
        # Stages are so small that sums over some frames are, too. Bytes have no shift of their own.
        stage = self.number(reduce(b.add, gains))
        twos = self.number(reduce(b.add, [b.and_(g, self.same(I8, 2)) for g in gains]))
        last = b.lshr(twos, self.same(I32, 1))
        for value, into in zip((stage, stage, last), (of_pixels, *of_all[:2]), strict=True):
            self.join(b.add, [value], into)
        self.join(self.most, gains, of_all[2])


def _frames_step(frames: int):
    """`statistics._add_lines` for WIDE pixels of so many frames, all by address:

    samples: data f4, gain u1, mask u4; firsts: u8 of each frame, where it begins in them
    at: first of the pixels
    of_pixels: total f8, count i4, any_bits u4, stage_sum u4
    of_frames: sums f8 (frame, SIDE_BY_SIDE), counts i8
    of_stages: sum of stages u4, samples of the last stage u4, largest stage u1; WIDE of each
    """

    def codegen(context, builder, signature, args):
        samples, firsts, at, excluded, *sums = args
        data, gain, mask = cgutils.unpack_tuple(builder, samples)
        (total, count, any_bits, stage_sum), of_frames, of_stages = (
            cgutils.unpack_tuple(builder, addresses) for addresses in sums
        )
        step, b = _Frames(builder, excluded, at), builder
        values, counts, words, gains = [], [], [], []
        for n in range(frames):
            first = b.load(b.inttoptr(step.of_frame(firsts, n, 8), I64.as_pointer()))
            x, word = (step.load(step.pixels(a, 4, first), kind) for a, kind in ((data, F32), (mask, I32)))
            value, used = step.summed(x, word)
            sizes = 8 * SIDE_BY_SIDE, 8
            step.add_all(
                value, used, *(step.of_frame(a, n, size) for a, size in zip(of_frames, sizes, strict=True))
            )
            values.append(value)
            counts.append(step.number(used))
            words.append(word)
            gains.append(step.load(step.pixels(gain, 1, first), I8))
        step.join(b.fadd, values, step.pixels(total, 8))
        step.join(b.add, counts, step.pixels(count, 4))
        step.join(b.or_, words, step.pixels(any_bits, 4))
        step.add_stages(gains, step.pixels(stage_sum, 4), of_stages)

    return codegen


_ADDRESS = types.uintp
_FRAMES_STEP = types.void(
    types.UniTuple(_ADDRESS, 3), _ADDRESS, _ADDRESS, types.uint32,
    types.UniTuple(_ADDRESS, 4), types.UniTuple(_ADDRESS, 2), types.UniTuple(_ADDRESS, 3),
)  # fmt: skip


@intrinsic
def frames_step(typingctx, samples, firsts, at, excluded, of_pixels, of_frames, of_stages):
    """Of FRAMES frames."""
    return _FRAMES_STEP, _frames_step(FRAMES)


@intrinsic
def frame_step(typingctx, samples, firsts, at, excluded, of_pixels, of_frames, of_stages):
    """Of one."""
    return _FRAMES_STEP, _frames_step(1)


@intrinsic
def signal_step(typingctx, data, mask, excluded, total, count):
    """Sum and number of the values of WIDE pixels alone, added to SIDE_BY_SIDE f8 and to i8, by address."""

    def codegen(context, builder, signature, args):
        data, mask, excluded, total, count = args
        step = Samples(builder, excluded)
        step.add_all(*step.summed(step.load(data, F32), step.load(mask, I32)), total, count)

    return types.void(_ADDRESS, _ADDRESS, types.uint32, _ADDRESS, _ADDRESS), codegen
