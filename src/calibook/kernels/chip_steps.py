"""Sums over rows of a frame, for 16 columns at once, in explicit packed instructions; see `lane_steps`."""

from __future__ import annotations

from functools import reduce

from numba import types
from numba.core import cgutils

from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lane_steps import F32, I8, I32
from calibook.kernels.statistics_steps import F64, Samples

ROWS = 8
"""Whose sums move once."""


@intrinsic
def rows_step(typingctx, samples, at, distance, excluded, of_columns, of_stages):
    """`frame_samples._add_lines` for WIDE columns of ROWS rows, by address:

    samples: data f4, gain u1, mask u4; at: place of the first one; distance: from one row to the next
    of_columns: sums f8 and numbers u4 of the good values, row after row
    of_stages: samples in the second and in the third stage, u4, WIDE of each
    """

    def codegen(context, builder, signature, args):
        samples, at, distance, excluded, *sums = args
        data, gain, mask = cgutils.unpack_tuple(builder, samples)
        (total, number), stages = (cgutils.unpack_tuple(builder, addresses) for addresses in sums)
        step, b = Samples(builder, excluded), builder
        found, counts, gains = step.load(total, F64), [], []
        for _ in range(ROWS):
            four = b.mul(at, at.type(4))
            x, word = step.load(b.add(data, four), F32), step.load(b.add(mask, four), I32)
            used = step.used(x, word)
            value = b.fpext(b.select(used, x, step.same(F32, 0.0)), step.vector(F64))
            found = b.fadd(found, value)
            counts.append(step.number(used))
            gains.append(step.load(b.add(gain, at), I8))
            at = b.add(at, distance)
        step.store(found, total)
        step.join(b.add, counts, number)
        for stage, into in enumerate(stages, 1):
            ones = [b.zext(b.icmp_unsigned("==", g, step.same(I8, stage)), step.vector(I8)) for g in gains]
            step.join(b.add, [step.number(reduce(b.add, ones))], into)

    address = types.uintp
    pair, three = types.UniTuple(address, 2), types.UniTuple(address, 3)
    return types.void(three, address, address, types.uint32, pair, pair), codegen
