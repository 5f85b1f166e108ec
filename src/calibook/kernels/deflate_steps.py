"""Pixels that differ from the one before, found in explicit packed instructions; see `lane_steps`."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from calibook.kernels.intrinsics import intrinsic
from calibook.kernels.lane_steps import I8, I32, Step

BYTES, WORDS = 64, 16
"""Pixels that are looked at together: a line of the cache."""
_I64 = ir.IntType(64)


def _changes(lanes: int, kind: ir.IntType):
    def codegen(context, builder, signature, args):
        step = Step(builder, lanes)
        pixels, before = (step.load(args[0], kind, distance) for distance in (0, -kind.width // 8))
        found = builder.bitcast(builder.icmp_unsigned("!=", pixels, before), ir.IntType(lanes))
        return found if lanes == _I64.width else builder.zext(found, _I64)

    return types.uint64(types.uintp), codegen


@intrinsic
def changes_of_bytes(typingctx, address):
    """A bit for each of BYTES pixels u1 from an address on: whether it differs from the one before."""
    return _changes(BYTES, I8)


@intrinsic
def changes_of_words(typingctx, address):
    """The same of WORDS pixels u4."""
    return _changes(WORDS, I32)


@intrinsic
def first_bit(typingctx, bits):
    """The number of the lowest bit that is set; one must be."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), codegen


@intrinsic
def put_bytes(typingctx, address, value):
    """Store eight bytes at any address, the lowest first."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], builder.inttoptr(args[0], _I64.as_pointer()), align=1)

    return types.void(types.uintp, types.uint64), codegen
