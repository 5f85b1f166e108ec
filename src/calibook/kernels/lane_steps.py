"""A line of pixels of two frames in explicit packed instructions: what `analogue_lines` says, for speed.

The compiler packs those loops, too. But it can't read constants that are
interleaved, a line of each kind: one stream of memory instead of thirteen, which
makes a quarter of the time. And it can't stream what it has in registers: results
that fill a line go to memory at once, without being put down in between. So the
steps are written for it, with LLVM's vector types: the same code for all
processors. Tests hold them to the loops, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir
from numba import types
from numba.core import cgutils

from calibook.kernels import bits
from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lanes import NAN
from calibook.kernels.streaming import LINE

ADC_MAX = 0x3FFF
LANES = 8
"""Pixels that share a shift."""
WIDE = LINE // 4
"""Pixels of two frames at a time: each result of 4 bytes fills a line."""
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

    def vector(self, kind: ir.Type) -> ir.VectorType:
        return vector(kind, self.lanes)

    def same(self, kind: ir.Type, value) -> ir.Constant:
        return same(kind, value, self.lanes)

    def _pointer(self, address, distance: int, kind: ir.Type):
        address = self.b.add(address, ir.Constant(address.type, distance))
        return self.b.inttoptr(address, self.vector(kind).as_pointer())

    def load(self, address, kind: ir.Type, distance: int = 0):
        return self.b.load(self._pointer(address, distance, kind), align=1)

    def store(self, value, address, distance: int = 0) -> None:
        self.b.store(value, self._pointer(address, distance, value.type.element), align=1)

    def stream(self, value, address) -> None:
        """Store whole lines, past the caches: see `streaming`."""
        store = self.b.store(value, self._pointer(address, 0, value.type.element), align=LINE)
        store.set_metadata("nontemporal", self.b.module.add_metadata([I32(1)]))

    def samples(self, address):
        """u2 as i4"""
        return self.b.zext(self.load(address, I16), self.vector(I32))

    def constants(self, record, first: int, count: int, kind: ir.Type) -> list:
        return [self.load(record, kind, 4 * self.lanes * row) for row in range(first, first + count)]

    def spread(self, value, kind: ir.Type):
        """A number of the caller in all lanes."""
        one = self.b.insert_element(ir.Constant(self.vector(kind), ir.Undefined), value, I32(0))
        return self.b.shuffle_vector(one, one, self.same(I32, 0))

    def above(self, x, y):
        return self.b.icmp_signed(">", x, y)

    def of_stage(self, switched, low, values):
        first, second, third = values
        return self.b.select(low, third, self.b.select(switched, second, first))

    def signal(self, adc, switched, low, offsets, scales, floor=None, taken=None):
        b = self.b
        x = b.fsub(b.sitofp(adc, self.vector(F32)), self.of_stage(switched, low, offsets))
        if taken is not None:
            x = b.fsub(x, taken)
        if floor is not None:
            too_low = b.and_(b.and_(switched, b.not_(low)), b.fcmp_ordered("<", x, floor))
            x = b.select(too_low, floor, x)
        return b.fmul(x, self.of_stage(switched, low, scales))

    def outside(self, adc):
        """The bit for either end of the ADC's range."""
        # Both ends, in one comparison: 0 wraps round to the largest number.
        outside = self.b.icmp_unsigned(">=", self.b.sub(adc, self.same(I32, 1)), self.same(I32, ADC_MAX - 1))
        return self.b.select(outside, self.same(I32, int(bits.VALUE_OUT_OF_RANGE)), self.same(I32, 0))

    def rounded(self, x):
        """To the nearest whole number, of two the even one."""
        kind = ir.FunctionType(x.type, [x.type])
        name = f"llvm.rint.v{self.lanes}f32"
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, name), [x])

    def word(self, adc, switched, low, words):
        return self.b.or_(self.of_stage(switched, low, words), self.outside(adc))

    def any_of(self, word, wanted):
        """Where a word has one of the bits that are wanted."""
        return self.b.icmp_unsigned("!=", self.b.and_(word, self.spread(wanted, I32)), self.same(I32, 0))

    def hidden(self, x, word, nan_mask):
        """NaN where the word has one of the bits of nan_mask."""
        return self.b.select(self.any_of(word, nan_mask), self.same(F32, float(NAN)), x)

    def shifts(self, address):
        """Of WIDE pixels: each belongs to LANES of them."""
        few = self.b.load(self.b.inttoptr(address, vector(F32, WIDE // LANES).as_pointer()), align=4)
        order = ir.Constant(self.vector(I32), [lane // LANES for lane in range(WIDE)])
        return self.b.shuffle_vector(few, few, order)

    def taken(self, switched, word, shifts, excluded):
        """Shifts where they count: in high gain, in pixels that are not excluded."""
        kept = self.b.or_(switched, self.any_of(word, excluded))
        return self.b.select(kept, self.same(F32, 0.0), shifts)

    def stage(self, switched, low):
        b = self.b
        return b.add(b.zext(switched, self.vector(I8)), b.zext(low, self.vector(I8)))


def of_frames(b: ir.IRBuilder, first, second) -> Iterator[int]:
    """0, 1 for what is to be done for both frames, told by an address in each. A frame that is its own
    partner is done once."""
    yield 0
    with b.if_then(b.icmp_unsigned("!=", first, second), likely=True):
        yield 1


def _analogue_step(ruled: bool, shifted: bool = False):
    """`analogue_lines.loop` for WIDE pixels, all by address:

    adc0, level0, adc1, level1: u2 of both frames; record: RECORD * WIDE constants
    data0, data1, mask0, mask1: f4, u4 of both frames, whole lines, streamed; gain0, gain1: u1
    shift0, shift1, excluded: f4 of each frame, WIDE // LANES of them, and the bits of pixels from
        which they are not taken
    """

    def codegen(context, builder, signature, args):
        *samples, record, floor, nan_mask = args[:7]
        data, gain, mask = args[7:9], args[9:11], args[11:13]
        *shifts, excluded = args[13:] if shifted else (None, None, None)
        step, b = Step(builder, WIDE), builder
        limits = step.constants(record, _LIMITS, 4 if ruled else 2, I32)
        offsets = step.constants(record, _OFFSETS, 3, F32)
        scales = step.constants(record, _SCALES, 3, F32)
        words = step.constants(record, _WORDS, 3, I32)
        lowest = step.spread(floor, F32) if ruled else None
        for i in of_frames(b, *data):
            a, q = step.samples(samples[2 * i]), step.samples(samples[2 * i + 1])
            switched, low = step.above(q, limits[0]), step.above(q, limits[1])
            if ruled:
                switched = b.and_(switched, b.not_(step.above(limits[2], a)))
                low = b.and_(b.and_(low, b.not_(step.above(limits[3], a))), switched)
            word = step.word(a, switched, low, words)
            taken = step.taken(switched, word, step.shifts(shifts[i]), excluded) if shifted else None
            x = step.signal(a, switched, low, offsets, scales, lowest, taken)
            if ruled:
                x = step.hidden(x, word, nan_mask)
            step.stream(x, data[i])
            step.stream(word, mask[i])
            step.store(step.stage(switched, low), gain[i])

    return codegen


_ADDRESSES = (types.uintp,) * 5 + (types.float32, types.uint32) + (types.uintp,) * 6


@intrinsic
def plain_step(
    typingctx, adc0, level0, adc1, level1, record, floor, nan_mask, data0, data1, gain0, gain1, mask0, mask1
):
    """With neither rules nor floor nor bits that hide."""
    return types.void(*_ADDRESSES), _analogue_step(ruled=False)


@intrinsic
def ruled_step(
    typingctx, adc0, level0, adc1, level1, record, floor, nan_mask, data0, data1, gain0, gain1, mask0, mask1
):
    return types.void(*_ADDRESSES), _analogue_step(ruled=True)


@intrinsic
def shifted_step(
    typingctx, adc0, level0, adc1, level1, record, floor, nan_mask, data0, data1, gain0, gain1, mask0, mask1,
    shift0, shift1, excluded,
):  # fmt: skip
    """With all, and shifts."""
    shifts = types.uintp, types.uintp, types.uint32
    return types.void(*_ADDRESSES, *shifts), _analogue_step(ruled=True, shifted=True)
