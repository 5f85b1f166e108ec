"""Pixels of two frames with digital gain codes, in explicit packed instructions; see `lane_steps`.

Tests hold them bit by bit to the loops: with gain stages and masks, `digital_lines.line`; without, that of
`signals`.
"""

from __future__ import annotations

from numba import types

from calibook.kernels import bits
from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lane_steps import ADC_MAX, F32, I8, I32, WIDE, Step, of_frames

ADC_BITS = 14


class _Digital(Step):
    def parts(self, words):
        """ADC values and gain codes of 16-bit words."""
        adc = self.b.and_(words, self.same(I32, ADC_MAX))
        return adc, self.b.lshr(words, self.same(I32, ADC_BITS))

    def stages(self, code):
        """Where a code is that of the second stage or above; of the third, as a wrong one is; wrong."""
        low = self.above(code, self.same(I32, 1))
        wrong = self.b.and_(low, self.b.icmp_unsigned("!=", code, self.same(I32, 3)))
        return self.above(code, self.same(I32, 0)), low, wrong

    def unusable(self, x, wrong):
        """The bit for a wrong code; for a right one, that for a signal that is no number."""
        b = self.b
        missing = self.same(I32, int(bits.VALUE_IS_NAN))
        word = b.select(b.fcmp_unordered("uno", x, x), missing, self.same(I32, 0))
        return b.select(wrong, self.same(I32, int(bits.WRONG_GAIN_VALUE)), word)


def _step(planes: bool):
    """`digital_lines.line` for WIDE pixels, all by address:

    samples: u2 of both frames; with planes, then gain codes u1 of both
    record: WIDE of 3 offsets, 3 scales, 3 words
    data, gain, mask: f4, u1, u4 of both frames; data and mask are whole lines, streamed
    """
    count = 4 if planes else 2

    def codegen(context, builder, signature, args):
        samples, (record, nan_mask, wrong_value, wrong_stage) = args[:count], args[count : count + 4]
        *data, gain0, gain1, mask0, mask1 = args[count + 4 :]
        step, b = _Digital(builder, WIDE), builder
        levels, words = step.constants(record, 0, 6, F32), step.constants(record, 6, 3, I32)
        for i in of_frames(b, *data):
            adc, code = step.parts(step.samples(samples[i]))
            if planes:
                code = b.zext(step.load(samples[2 + i], I8), step.vector(I32))
            switched, low, wrong = step.stages(code)
            x = step.signal(adc, switched, low, levels[:3], levels[3:])
            word = b.or_(step.word(adc, switched, low, words), step.unusable(x, wrong))
            x = step.hidden(b.select(wrong, step.spread(wrong_value, F32), x), word, nan_mask)
            step.stream(x, data[i])
            step.stream(word, (mask0, mask1)[i])
            stage = b.select(wrong, step.spread(wrong_stage, I8), step.stage(switched, low))
            step.store(stage, (gain0, gain1)[i])

    address, settings = types.uintp, (types.uint32, types.float32, types.uint8)
    return types.void(*(address,) * (count + 1), *settings, *(address,) * 6), codegen


@intrinsic
def planes_step(
    typingctx, adc0, adc1, code0, code1, record, nan_mask, wrong_value, wrong_stage, data0, data1, gain0,
    gain1, mask0, mask1,
):  # fmt: skip
    return _step(planes=True)


@intrinsic
def words_step(
    typingctx, words0, words1, record, nan_mask, wrong_value, wrong_stage, data0, data1, gain0, gain1, mask0,
    mask1,
):  # fmt: skip
    """With gain codes in bits 15:14."""
    return _step(planes=False)


@intrinsic
def signals_step(typingctx, words0, words1, record, wrong_value, data0, data1):
    """`signals.loop` for WIDE pixels: u2 of both frames; WIDE of 3 offsets and 3 scales; f4 streamed to."""

    def codegen(context, builder, signature, args):
        words, (record, wrong_value), data = args[:2], args[2:4], args[4:]
        step, b = _Digital(builder, WIDE), builder
        levels = step.constants(record, 0, 6, F32)
        for i in of_frames(b, *data):
            adc, code = step.parts(step.samples(words[i]))
            switched, low, wrong = step.stages(code)
            x = step.signal(adc, switched, low, levels[:3], levels[3:])
            step.stream(b.select(wrong, step.spread(wrong_value, F32), x), data[i])

    address = types.uintp
    return types.void(address, address, address, types.float32, address, address), codegen
