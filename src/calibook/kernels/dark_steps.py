"""Sums over eight dark frames, for many pixels at once, in explicit packed instructions; see `lane_steps`.

The compiler packs a loop over such sums as wide as its longest number. Here
samples stay 16 bits wide for as long as that holds what is made of them: half
the instructions, so that the memory sets the pace.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from llvmlite import ir
from numba import types

from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lane_steps import I8, I16, I32, Step, same, vector

ADC_MAX = 0x3FFF
FRAMES = 8
"""Whose sums move once. Twice as many are more streams of memory than a processor foresees; with half
as many, sums are half of what moves. Squares of 14 bits leave room for 16 in 32 bits."""
PIXELS = 32
_SUMMED = 4
"""Samples of 14 bits of which the sum has 16."""
_PAIRS = PIXELS // 2

I64 = ir.IntType(64)


class _Dark(Step):
    """rows: address of FRAMES addresses u8 of ADC values, and as many of gain codes; the pixel is `at`."""

    def __init__(self, builder: ir.IRBuilder, rows, at, expected):
        super().__init__(builder, PIXELS)
        self._rows, self._at, self._expected = rows, at, self.spread(expected, I8)

    def _row(self, number: int, size: int):
        b = self.b
        pointer = b.inttoptr(b.add(self._rows, ir.Constant(self._rows.type, 8 * number)), I64.as_pointer())
        return b.add(b.load(pointer), b.mul(self._at, ir.Constant(self._at.type, size)))

    def samples(self, n: int) -> tuple[Any, Any]:
        """Of the n-th frame: whether the code is the expected one; ADC value u2, or 0 where it is another."""
        b = self.b
        right = b.icmp_unsigned("==", self.load(self._row(FRAMES + n, 1), I8), self._expected)
        adc = b.and_(self.load(self._row(n, 2), I16), self.same(I16, ADC_MAX))
        return right, b.select(right, adc, self.same(I16, 0))

    def at_end(self, least, most):
        """Where a sample is at an end of the ADC's range, given both its bounds."""
        b = self.b
        bottom = b.icmp_unsigned("==", least, self.same(I16, 0))
        return b.or_(bottom, b.icmp_unsigned("==", most, self.same(I16, ADC_MAX)))

    def least(self, x, y):
        return self.b.select(self.b.icmp_unsigned("<", x, y), x, y)

    def most(self, x, y):
        return self.b.select(self.b.icmp_unsigned(">", x, y), x, y)

    def halves(self, values) -> tuple[Any, Any]:
        """u2 of pairs of pixels as u4: those of the first and of the second of each."""
        pairs = self.b.bitcast(values, vector(I32, _PAIRS))
        first = self.b.and_(pairs, same(I32, 0xFFFF, _PAIRS))
        return first, self.b.lshr(pairs, same(I32, 16, _PAIRS))

    def of_some(self, first: int) -> tuple:
        """Of _SUMMED frames: both halves of the sum, both halves of squares, least, most."""
        b = self.b
        values = [self.samples(n)[1] for n in range(first, first + _SUMMED)]
        squares = zip(*([b.mul(x, x) for x in self.halves(value)] for value in values), strict=True)
        return (
            *self.halves(reduce(b.add, values)),
            *(reduce(b.add, half) for half in squares),
            reduce(self.least, values),
            reduce(self.most, values),
        )

    def add(self, halves: list, sums) -> None:
        """Put both halves of the pixels together again, and add them to u8 at an address."""
        order = [i // 2 + i % 2 * _PAIRS for i in range(PIXELS)]
        values = self.b.shuffle_vector(*halves, ir.Constant(self.vector(I32), order))
        self.increase(sums, self.b.zext(values, self.vector(I64)))

    def increase(self, sums, values, sign: str = "add") -> None:
        self.store(getattr(self.b, sign)(self.load(sums, values.type.element), values), sums)

    def count(self, conditions: list):
        """How often each pixel meets the condition, u4."""
        ones = [self.b.zext(condition, self.vector(I8)) for condition in conditions]
        return self.b.zext(reduce(self.b.add, ones), self.vector(I32))


@intrinsic
def sums_step(typingctx, rows, at, expected, total, squares):
    """Adds the samples with the expected gain code to total and squares, u8, of PIXELS pixels, by address.

    Returns u4, 0 if there was neither another gain code nor a sample at an end of the ADC's range.
    """

    def codegen(context, builder, signature, args):
        rows, at, expected, total, squares = args
        dark = _Dark(builder, rows, at, expected)
        # Some at a time, so that all that is in use has a register.
        parts = [dark.of_some(first) for first in range(0, FRAMES, _SUMMED)]
        how = *(builder.add,) * 4, dark.least, dark.most
        *halves, least, most = (
            reduce(each, values) for each, values in zip(how, zip(*parts, strict=True), strict=True)
        )
        dark.add(halves[:2], total)
        dark.add(halves[2:], squares)
        # A sample with another code is 0, which is an end, too.
        ends = dark.at_end(least, most)
        return builder.bitcast(ends, I32)

    address = types.uintp
    return types.uint32(address, address, types.uint8, address, address), codegen


@intrinsic
def counts_step(typingctx, rows, at, expected, count, saturated, wrong):
    """Moves samples with another code from count to wrong, adds those at an end to saturated: u4."""

    def codegen(context, builder, signature, args):
        rows, at, expected, count, saturated, wrong = args
        dark = _Dark(builder, rows, at, expected)
        samples = [dark.samples(n) for n in range(FRAMES)]
        others = dark.count([builder.not_(right) for right, _ in samples])
        dark.increase(count, others, "sub")
        dark.increase(wrong, others)
        ends = [builder.and_(right, dark.at_end(adc, adc)) for right, adc in samples]
        dark.increase(saturated, dark.count(ends))

    address = types.uintp
    return types.void(address, address, types.uint8, address, address, address), codegen
