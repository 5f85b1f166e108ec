"""Constants of a line of pixels made simple and put into their record, in explicit packed instructions.

What `near.fold` and `analogue_lines.fold_limits` do row by row, at once: constants come from memory, and
are written where `lane_steps` reads them, without being put down in between.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from calibook.kernels import bits
from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lane_steps import F32, I32, WIDE, Step
from calibook.kernels.lanes import NAN
from calibook.kernels.packing import STAGES


class _Fold(Step):
    """Takes rows of constants, `pixels` items apart; `put` fills the record, a line of each kind."""

    def __init__(self, builder: ir.IRBuilder, pixels, record):
        super().__init__(builder, WIDE)
        self.pixels, self.record = pixels, record

    def row(self, address, number: int, size: int = 4):
        return self.b.add(address, self.b.mul(self.pixels, ir.Constant(self.pixels.type, number * size)))

    def put(self, values: list) -> None:
        for value in values:
            self.store(value, self.record)
            self.record = self.b.add(self.record, ir.Constant(self.record.type, 4 * WIDE))

    def limits(self, *pairs) -> list:
        """Thresholds, and signals below which a stage is not believed: u2, two rows each."""
        first, second, *below = (self.samples(self.row(pair, n, 2)) for pair in pairs for n in range(2))
        # What exceeds the second threshold has left high gain, whatever the first one is.
        return [self.b.select(self.above(first, second), second, first), second, *below]

    def levels(self, offset, scale, adc_max, largest) -> tuple[list, list, list, Any]:
        """Of all stages: offsets, scales, whether these are numbers; if signals may be above the largest."""
        b, wild = self.b, self.same(I32, 0)
        offsets, scales, numbers = [], [], []
        for stage in range(STAGES):
            o, s = (self.load(self.row(rows, stage), F32) for rows in (offset, scale))
            number = b.fcmp_ordered("ord", o, s)
            farthest = b.fmul(b.fadd(self.spread(adc_max, F32), self.size(o)), self.size(s))
            above = b.fcmp_unordered(">", farthest, self.spread(largest, F32))
            wild = b.or_(wild, b.sext(b.and_(number, above), self.vector(I32)))
            offsets.append(b.select(number, o, self.same(F32, 0.0)))
            scales.append(b.select(number, s, self.same(F32, float(NAN))))
            numbers.append(number)
        return offsets, scales, numbers, self.any(wild)

    def words(self, word) -> list:
        return [self.load(self.row(word, stage), I32) for stage in range(STAGES)]

    def marked(self, words: list, numbers: list) -> list:
        """Words that say where a stage has no number."""
        b, missing = self.b, self.same(I32, int(bits.VALUE_IS_NAN))
        return [
            b.or_(word, b.select(number, self.same(I32, 0), missing))
            for word, number in zip(words, numbers, strict=True)
        ]

    def size(self, x):
        """Absolute value."""
        whole = self.b.and_(self.b.bitcast(x, self.vector(I32)), self.same(I32, 0x7FFFFFFF))
        return self.b.bitcast(whole, self.vector(F32))

    def any(self, values):
        """Bits that are set in any lane."""
        kind = ir.FunctionType(I32, [values.type])
        name = f"llvm.vector.reduce.or.v{WIDE}i32"
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, name), [values])


@intrinsic
def fold_analogue_step(
    typingctx, threshold, force_below, offset, scale, word, pixels, adc_max, largest, record
):
    """All by address: u2 (2, pixel) twice; f4, f4, u4 (stage, pixel); RECORD * WIDE values of 4 bytes.

    Returns u4, 0 if no sample up to `adc_max` gives a signal above `largest`.
    """

    def codegen(context, builder, signature, args):
        threshold, force_below, offset, scale, word, pixels, adc_max, largest, record = args
        fold = _Fold(builder, pixels, record)
        offsets, scales, numbers, wild = fold.levels(offset, scale, adc_max, largest)
        words = fold.marked(fold.words(word), numbers)
        fold.put([*fold.limits(threshold, force_below), *offsets, *scales, *words])
        return wild

    address = types.uintp
    return types.uint32(*(address,) * 6, types.float32, types.float32, address), codegen


@intrinsic
def fold_digital_step(typingctx, offset, scale, word, pixels, adc_max, largest, record):
    """The same without limits. Words stay as they are: a wrong code has no value that could be missing."""

    def codegen(context, builder, signature, args):
        offset, scale, word, pixels, adc_max, largest, record = args
        fold = _Fold(builder, pixels, record)
        offsets, scales, _, wild = fold.levels(offset, scale, adc_max, largest)
        fold.put([*offsets, *scales, *fold.words(word)])
        return wild

    address = types.uintp
    return types.uint32(*(address,) * 4, types.float32, types.float32, address), codegen


@intrinsic
def fold_levels_step(typingctx, offset, scale, pixels, adc_max, largest, record):
    """The same for offsets and scales alone."""

    def codegen(context, builder, signature, args):
        offset, scale, pixels, adc_max, largest, record = args
        fold = _Fold(builder, pixels, record)
        offsets, scales, _, wild = fold.levels(offset, scale, adc_max, largest)
        fold.put([*offsets, *scales])
        return wild

    address = types.uintp
    return types.uint32(*(address,) * 3, types.float32, types.float32, address), codegen
