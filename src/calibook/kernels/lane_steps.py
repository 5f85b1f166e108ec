"""Eight pixels of two frames in explicit packed instructions: what `analogue_lines` says, for speed.

The compiler packs those loops, too. But it can't read constants that are
interleaved, eight of each kind: one stream of memory instead of thirteen, which
makes a quarter of the time. So the steps are written for it, with LLVM's vector
types: the same code for all processors. Tests hold them to the loops, bit by bit.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from calibook.kernels import bits
from calibook.kernels.cells import ROW
from calibook.kernels.lanes import NAN

# For type checkers, who see how it is declared, not how it is called.
_intrinsic: Any = intrinsic

ADC_MAX = 0x3FFF
LANES = 8
RECORD = 13
"""Values of 4 bytes per pixel: 2 thresholds, 2 limits, 3 offsets, 3 scales, 3 words."""
_LIMITS, _OFFSETS, _SCALES, _WORDS = 0, 4, 7, 10

I8, I16, I32, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.FloatType()


def vector(kind: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(kind, lanes)


def same(kind: ir.Type, value, lanes: int = LANES) -> ir.Constant:
    return ir.Constant(vector(kind, lanes), [value] * lanes)


class Step:
    """Builds the instructions of a step: for LANES pixels at once, or another number."""

    def __init__(self, builder: ir.IRBuilder, lanes: int = LANES):
        self.b, self.lanes = builder, lanes

    def _pointer(self, address, distance: int, kind: ir.Type):
        address = self.b.add(address, ir.Constant(address.type, distance))
        return self.b.inttoptr(address, vector(kind, self.lanes).as_pointer())

    def load(self, address, kind: ir.Type, distance: int = 0):
        return self.b.load(self._pointer(address, distance, kind), align=1)

    def store(self, value, address, distance: int = 0) -> None:
        self.b.store(value, self._pointer(address, distance, value.type.element), align=1)

    def samples(self, address):
        """u2 as i4"""
        return self.b.zext(self.load(address, I16), vector(I32))

    def constants(self, record, first: int, count: int, kind: ir.Type) -> list:
        return [self.load(record, kind, 4 * LANES * row) for row in range(first, first + count)]

    def spread(self, value, kind: ir.Type):
        """A number of the caller in all lanes."""
        one = self.b.insert_element(ir.Constant(vector(kind, self.lanes), ir.Undefined), value, I32(0))
        return self.b.shuffle_vector(one, one, same(I32, 0, self.lanes))

    def above(self, x, y):
        return self.b.icmp_signed(">", x, y)

    def of_stage(self, switched, low, values):
        first, second, third = values
        return self.b.select(low, third, self.b.select(switched, second, first))

    def signal(self, adc, switched, low, offsets, scales, floor=None, taken=None):
        b = self.b
        x = b.fsub(b.sitofp(adc, vector(F32)), self.of_stage(switched, low, offsets))
        if taken is not None:
            x = b.fsub(x, taken)
        if floor is not None:
            too_low = b.and_(b.and_(switched, b.not_(low)), b.fcmp_ordered("<", x, floor))
            x = b.select(too_low, floor, x)
        return b.fmul(x, self.of_stage(switched, low, scales))

    def outside(self, adc):
        """The bit for either end of the ADC's range."""
        # Both ends, in one comparison: 0 wraps round to the largest number.
        outside = self.b.icmp_unsigned(">=", self.b.sub(adc, same(I32, 1)), same(I32, ADC_MAX - 1))
        return self.b.select(outside, same(I32, int(bits.VALUE_OUT_OF_RANGE)), same(I32, 0))

    def rounded(self, x):
        """To the nearest whole number, of two the even one."""
        kind = ir.FunctionType(x.type, [x.type])
        name = f"llvm.rint.v{LANES}f32"
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, name), [x])

    def word(self, adc, switched, low, words):
        return self.b.or_(self.of_stage(switched, low, words), self.outside(adc))

    def any_of(self, word, wanted):
        """Where a word has one of the bits that are wanted."""
        return self.b.icmp_unsigned("!=", self.b.and_(word, self.spread(wanted, I32)), same(I32, 0))

    def taken(self, switched, word, shift, excluded):
        """A shift where it counts: in high gain, in pixels that are not excluded."""
        kept = self.b.or_(switched, self.any_of(word, excluded))
        return self.b.select(kept, same(F32, 0.0), self.spread(shift, F32))

    def stage(self, switched, low):
        b = self.b
        return b.add(b.zext(switched, vector(I8)), b.zext(low, vector(I8)))


def _analogue_step(ruled: bool, shifted: bool = False):
    """`analogue_lines.loop` for LANES pixels, all by address:

    adc0, level0, adc1, level1: u2 of both frames; record: RECORD * LANES constants
    data, gain, mask: f4, u1, u4 of the first frame; those of the second are a ROW on
    shift0, shift1, excluded: f4 of each frame, and the bits of pixels from which they are not taken
    """

    def codegen(context, builder, signature, args):
        *samples, record, floor, nan_mask, data, gain, mask = args[:10]
        *shifts, excluded = args[10:] if shifted else (None, None, None)
        step, b = Step(builder), builder
        frames = []
        for adc, level in (samples[:2], samples[2:]):
            a, q = step.samples(adc), step.samples(level)
            limits = step.constants(record, _LIMITS, 4 if ruled else 2, I32)
            switched, low = step.above(q, limits[0]), step.above(q, limits[1])
            if ruled:
                switched = b.and_(switched, b.not_(step.above(limits[2], a)))
                low = b.and_(b.and_(low, b.not_(step.above(limits[3], a))), switched)
            frames.append((a, switched, low))
        offsets = step.constants(record, _OFFSETS, 3, F32)
        scales = step.constants(record, _SCALES, 3, F32)
        words = step.constants(record, _WORDS, 3, I32)
        lowest = step.spread(floor, F32) if ruled else None
        for i, stage in enumerate(frames):
            word = step.word(*stage, words)
            taken = step.taken(stage[1], word, shifts[i], excluded) if shifted else None
            x = step.signal(*stage, offsets, scales, lowest, taken)
            if ruled:
                x = b.select(step.any_of(word, nan_mask), same(F32, float(NAN)), x)
            step.store(x, data, 4 * i * int(ROW))
            step.store(word, mask, 4 * i * int(ROW))
            step.store(step.stage(*stage[1:]), gain, i * int(ROW))

    return codegen


_ADDRESSES = (types.uintp,) * 5 + (types.float32, types.uint32) + (types.uintp,) * 3


@_intrinsic
def plain_step(typingctx, adc0, level0, adc1, level1, record, floor, nan_mask, data, gain, mask):
    """With neither rules nor floor nor bits that hide."""
    return types.void(*_ADDRESSES), _analogue_step(ruled=False)


@_intrinsic
def ruled_step(typingctx, adc0, level0, adc1, level1, record, floor, nan_mask, data, gain, mask):
    return types.void(*_ADDRESSES), _analogue_step(ruled=True)


@_intrinsic
def shifted_step(
    typingctx, adc0, level0, adc1, level1, record, floor, nan_mask, data, gain, mask,
    shift0, shift1, excluded,
):  # fmt: skip
    """With all, and shifts."""
    shifts = types.float32, types.float32, types.uint32
    return types.void(*_ADDRESSES, *shifts), _analogue_step(ruled=True, shifted=True)


@_intrinsic
def signals_step(typingctx, words0, words1, record, wrong_value, data):
    """`signals.loop` for LANES pixels: u2 of both frames; LANES of 3 offsets and 3 scales; f4 as above."""

    def codegen(context, builder, signature, args):
        *frames, record, wrong_value, data = args
        step, b = Step(builder), builder
        levels = step.constants(record, 0, 6, F32)
        for i, address in enumerate(frames):
            sample = step.samples(address)
            low = step.above(sample, same(I32, 0x7FFF))
            adc = b.and_(sample, same(I32, 0x3FFF))
            x = step.signal(adc, step.above(sample, same(I32, 0x3FFF)), low, levels[:3], levels[3:])
            wrong = b.and_(low, b.not_(step.above(sample, same(I32, 0xBFFF))))
            x = b.select(wrong, step.spread(wrong_value, F32), x)
            step.store(x, data, 4 * i * int(ROW))

    address = types.uintp
    return types.void(address, address, address, types.float32, address), codegen
