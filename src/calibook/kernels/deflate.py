"""Deflated images of which most pixels are as the one before: gain stages and mask words.

A general compressor looks for repetitions byte by byte, and sums all bytes up
once more for the checksum. Here both follow from the pixels that differ from the
one before, which are few and quickly found: the stream (RFC 1951, one block
with the fixed code, in the frame of RFC 1950) repeats what lies one pixel, or
one byte of zero, behind. Every reader of deflate reads it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numba import njit

from calibook.kernels.checks import check_array
from calibook.kernels.deflate_codes import END, END_BITS, LITERALS, LONGEST, OF_FOUR, OF_ONE
from calibook.kernels.deflate_steps import (
    BYTES,
    WORDS,
    changes_of_bytes,
    changes_of_words,
    first_bit,
    put_bytes,
)
from calibook.kernels.streaming import AHEAD, fetch_line

MOST_CHANGES = 16
"""One pixel of so many may differ from the one before; with more, a compressor finds more to repeat."""
_PER_CHANGE = 24
"""Bytes, at most, that a change costs: literals, and the ends of the repetitions before and after."""
_AROUND = 64
"""Bytes of an image's stream beside its pixels, and beyond it for stores of eight."""
_HEADER = np.uint64(0x0178)
"""Of a zlib stream, compressed for speed."""
_ADLER = np.uint64(65521)
_0, _1, _2, _3, _4, _7, _8 = (np.uint64(n) for n in (0, 1, 2, 3, 4, 7, 8))
_BYTE = np.uint64(0xFF)
_LONGEST, _LONGEST_FOURS = np.uint64(LONGEST), np.uint64(LONGEST // 4 * 4)


def deflate_images(images: np.ndarray) -> list[bytes | None]:
    """Zlib streams of images, each for itself; None for those with more than MOST_CHANGES allows.

    images: u1 or u4 (frame, pixel)

    Raises ValueError if the array has the wrong dtype or layout, or no pixels.
    """
    frames, pixels = images.shape
    if not pixels:
        raise ValueError("images without pixels")
    check_array("images", images, "u1" if images.itemsize == 1 else "u4", (frames, pixels))
    longest = pixels // MOST_CHANGES * _PER_CHANGE + pixels * images.itemsize // 64 + _AROUND
    target, ends = np.empty(frames * longest, np.uint8), np.zeros(frames + 1, np.int64)
    _deflate_images(images, target, ends)
    return [target[a:b].tobytes() if b > a else None for a, b in pairwise(ends)]


@njit(nogil=True, cache=True)
def _deflate_images(images, target, ends):
    begin = np.uint64(target.ctypes.data)
    end = begin
    for n in range(images.shape[0]):
        end = _deflate(images[n], end)
        ends[n + 1] = np.int64(end - begin)


@njit(nogil=True, cache=True)
def _deflate(image, target):
    """Writes a stream to an address; returns its end, or the address if there are too many changes."""
    pixels, size = np.uint64(image.size), np.uint64(image.itemsize)
    lanes = np.uint64(BYTES if image.itemsize == 1 else WORDS)
    most, address = pixels // np.uint64(MOST_CHANGES), np.uint64(image.ctypes.data)
    # One block, the last, of the fixed code: bits 1, 1, 0.
    stream = _settle(_add((_HEADER, np.uint64(16), target), _3, _3))
    zeros, sums = _0, (_1, _0)
    changes, begin, at = _0, _0, _1
    while at < pixels:
        if pixels - at >= lanes:
            place = address + at * size
            fetch_line(place + AHEAD)
            found = changes_of_bytes(place) if image.itemsize == 1 else changes_of_words(place)
            step = lanes
        else:
            found, step = np.uint64(image[at] != image[at - _1]), _1
        while found:
            next_one = at + first_bit(found)
            found &= found - _1
            changes += _1
            if changes > most:
                return target
            value, length = np.uint64(image[begin]), next_one - begin
            sums = _summed(sums, value, length, size)
            stream, zeros = _run(stream, zeros, value, length, size)
            begin = next_one
        at += step
    value, length = np.uint64(image[begin]), pixels - begin
    sums = _summed(sums, value, length, size)
    stream, zeros = _run(stream, zeros, value, length, size)
    stream = _zeros(stream, zeros)
    return _end(_add(stream, END, END_BITS), sums)


@njit(nogil=True, cache=True)
def _add(stream, code, bits):
    """Append bits to a stream, which is (bits not yet written, how many, address they go to).

    Of 64 bits at most 7 are in use after `_settle`; it is for the callers to call it in time.
    """
    held, number, at = stream
    return held | (code << number), number + bits, at


@njit(nogil=True, cache=True)
def _settle(stream):
    """Write whole bytes."""
    held, number, at = stream
    put_bytes(at, held)
    whole = number >> _3
    return held >> (whole << _3), number & _7, at + whole


@njit(nogil=True, cache=True)
def _run(stream, zeros, value, length, size):
    """Append a pixel and its repetitions.

    zeros: bytes of zero that are still to be appended: a run of them ends where a byte is
        another, be it within a pixel. So the second result tells what is to be appended later.
    """
    if size == _1:
        return _settle(_repeat(_literal(stream, value), OF_ONE, _LONGEST, length - _1, value)), _0
    if value == _0:
        return stream, zeros + _4 * length
    for n in range(4):
        byte = (value >> (_8 * np.uint64(n))) & _BYTE
        if byte == _0:
            zeros += _1
        else:
            stream, zeros = _literal(_zeros(stream, zeros), byte), _0
    if length > _1:
        stream = _repeat(_zeros(stream, zeros), OF_FOUR, _LONGEST_FOURS, _4 * (length - _1), _0)
        zeros = _0
    return _settle(stream), zeros


@njit(nogil=True, cache=True)
def _literal(stream, byte):
    return _add(stream, LITERALS[byte, 0], LITERALS[byte, 1])


@njit(nogil=True, cache=True)
def _zeros(stream, number):
    if number == _0:
        return stream
    return _settle(_repeat(_literal(stream, _0), OF_ONE, _LONGEST, number - _1, _0))


@njit(nogil=True, cache=True)
def _repeat(stream, table, longest, count, byte):
    """As many bytes as `count` says are those before; what is too short to be told so is `byte`."""
    while count > longest:
        stream = _settle(_add(stream, table[longest, 0], table[longest, 1]))
        count -= longest
    if count > _2:
        return _add(stream, table[count, 0], table[count, 1])
    for _ in range(count):
        stream = _literal(stream, byte)
    return stream


@njit(nogil=True, cache=True)
def _summed(sums, value, length, size):
    """Adler's two sums (RFC 1950, 8.2) after a pixel and its repetitions.

    With s the sum of a pixel's bytes, the first sum grows by s each pixel; the second one by
    the first for each byte, which for n pixels makes an arithmetic series. Up to 2^28 bytes of an
    image they fit into 64 bits, so the remainders are left for the end.
    """
    first, second = sums
    s, weighted = _0, _0
    for n in range(size):
        byte = (value >> (_8 * np.uint64(n))) & _BYTE
        s += byte
        weighted += (size - np.uint64(n)) * byte
    before = length * (length - _1) // _2
    return first + s * length, second + size * (length * first + s * before) + weighted * length


@njit(nogil=True, cache=True)
def _end(stream, sums):
    """Fill the last byte, and append the checksum, its highest byte first."""
    _, number, at = _settle(stream)
    at += (number + _7) >> _3
    checksum = (sums[1] % _ADLER << np.uint64(16)) | sums[0] % _ADLER
    swapped = _0
    for n in range(4):
        swapped = (swapped << _8) | ((checksum >> (_8 * np.uint64(n))) & _BYTE)
    put_bytes(at, swapped)
    return at + _4
