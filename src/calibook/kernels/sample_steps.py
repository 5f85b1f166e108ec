"""Eight raw samples made what `dark_peak` looks at, in explicit packed instructions; see `lane_steps`."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from calibook.kernels.dark_peak import REACH, STEPS, UNUSED
from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lane_steps import F32, I8, I16, I32, Step, same, vector


@intrinsic
def raw_samples_step(typingctx, adc, threshold, force_below, offset, word, pixels, excluded, samples):
    """All by address: adc u2, its gain plane `pixels` items behind; u2 (2, pixel) twice; f4, u4 of high gain.

    samples: i2, becomes offset-subtracted signals in whole steps; UNUSED for pixels that are
        not in high gain, have one of the bits `excluded`, or are out of reach
    Returns u4, how many are used.
    """

    def codegen(context, builder, signature, args):
        adc, threshold, force_below, offset, word, pixels, excluded, samples = args
        step, b = Step(builder), builder
        plane = b.shl(pixels, ir.Constant(pixels.type, 1))
        a, level = step.samples(adc), step.samples(b.add(adc, plane))
        first, second = step.samples(threshold), step.samples(b.add(threshold, plane))
        # High gain ends where the first of both thresholds is passed, whichever it is.
        switched = b.or_(step.above(level, first), step.above(level, second))
        switched = b.and_(switched, b.not_(step.above(step.samples(force_below), a)))
        bad = step.any_of(b.or_(step.load(word, I32), step.outside(a)), excluded)
        x = b.fsub(b.sitofp(a, vector(F32)), step.load(offset, F32))
        # Nor is NaN within reach.
        near = b.and_(
            b.fcmp_ordered("<", x, same(F32, float(REACH))), b.fcmp_ordered(">", x, same(F32, -float(REACH)))
        )
        used = b.and_(near, b.not_(b.or_(switched, bad)))
        whole = step.rounded(b.fmul(b.select(used, x, same(F32, 0.0)), same(F32, float(STEPS))))
        whole = b.select(used, b.fptosi(whole, vector(I32)), same(I32, int(UNUSED)))
        step.store(b.trunc(whole, vector(I16)), samples)
        count = b.ctpop(b.bitcast(used, I8))
        return b.zext(count, I32)

    address = types.uintp
    return types.uint32(*(address,) * 6, types.uint32, address), codegen
