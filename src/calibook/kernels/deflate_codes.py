"""The fixed code of deflate (RFC 1951, 3.2.6), for literals and for repetitions of what lies just behind."""

from __future__ import annotations

import numpy as np

LONGEST = 258
"""Bytes of a repetition."""
END, END_BITS = np.uint64(0), np.uint64(7)
_DISTANCE_BITS = 5
_FIRST_LENGTH = 257
"""Symbol of the shortest repetition, of 3 bytes; those before are literals and the end."""


def _reversed(code: int, bits: int) -> int:
    """Codes begin with their highest bit, all else with its lowest one."""
    return int(f"{code:0{bits}b}"[::-1], 2)


def _symbol(symbol: int) -> tuple[int, int]:
    """Code and bits of a literal or of a length."""
    for first, last, bits, code in ((0, 143, 8, 0x30), (144, 255, 9, 0x190), (256, 279, 7, 0)):
        if first <= symbol <= last:
            return _reversed(code + symbol - first, bits), bits
    return _reversed(0xC0 + symbol - 280, 8), 8


def _length(length: int) -> tuple[int, int]:
    """Code and bits of a length from 3 to LONGEST, with what follows to tell it from others of its symbol."""
    if length == LONGEST:
        return _symbol(285)
    # The first eight lengths have symbols of their own; then each four symbols have one bit more.
    more = max(0, (length - 3).bit_length() - 3)
    above, within = divmod(length - 3, 1 << more)
    code, bits = _symbol(_FIRST_LENGTH + 4 * more + above)
    return code | within << bits, bits + more


def _repetition(length: int, distance_symbol: int) -> tuple[int, int]:
    code, bits = _length(length)
    return code | _reversed(distance_symbol, _DISTANCE_BITS) << bits, bits + _DISTANCE_BITS


def _table(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, np.uint64)


LITERALS = _table([_symbol(byte) for byte in range(256)])
"""u8 (byte, 2): code and its bits."""
_NONE = [(0, 0)] * 3
OF_ONE = _table(_NONE + [_repetition(length, 0) for length in range(3, LONGEST + 1)])
"""u8 (length, 2): of the byte before, as many times as the length says."""
OF_FOUR = _table(_NONE + [_repetition(length, 3) for length in range(3, LONGEST + 1)])
"""The same of the four bytes before."""
