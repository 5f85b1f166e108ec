"""Shifts that all pixels of a chip share in one frame, though light is about and neighbours share its charge.

A photon near a pixel's border leaves part of its charge next door. The dark
pixel there shows a few ADU, which a mean over dark pixels (`dark_window`) takes
for a shift. But it has a lit neighbour. So dark pixels are counted by how many
of their four neighbours are lit, k = 0 to 4. Each lit one adds the same charge
on average, the mean of a class hence is a line in k, and where it meets k = 0
is the shift: all dark pixels tell it, though in bright frames hardly one has no
lit neighbour.

A sample is a whole number of 1/4 ADU here, in 16 bits: sums are exact, and
sixteen fit into one instruction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from calibook.errors import BadParameter

STEPS = 4
"""Steps per ADU: rounding to them adds nothing to the noise of 8 ADU."""
DARK, LIT, BELOW = 2.0, 1.5, 3.0
"""In units of the noise: dark is within, lit is above, and below there should be next to nothing."""
SHOWN = 0.774
"""Share of a shift that the mean of a normal distribution shows within +-2 sigma."""
WINDOWS, LINES = 3, 2
"""At most so many passes that find the dark peak, and that fit the line."""
LIGHTER = 1 / 3
"""Weight of a class relative to the one before: where light is uneven, the line is bent."""
CORNERS = 1 / 24
"""Charge that comes over corners, which are not counted, relative to that over sides."""
SHARE_BELOW = 0.05
"""What may lie below the dark peak, relative to it. If there is more, it is a photon peak."""
MOST_PIXELS, NOISES, LARGEST_SHIFT = 8192, (1.0, 30.0), 1000.0

_CLASSES = 5
UNUSED = np.int16(0x7FFF)
REACH = np.float32(8000)
_FURTHEST = 30000.0


@dataclass(frozen=True)
class DarkPeak:
    """What the dark peak is like.

    noise: its standard deviation [ADU]; right within a third is enough
    fraction: share of a block's pixels, bad ones and all, that must be in the
        peak; a block with fewer has too much signal and keeps its shift
    max_shift: so does a block whose peak is further from zero [ADU]
    max_error: and one whose shift has a larger standard error [ADU], as when all
        neighbours of dark pixels are lit
    """

    noise: float = 8.0
    fraction: float = 0.15
    max_shift: float = 400.0
    max_error: float = 3.0

    def __post_init__(self) -> None:
        limits = {"noise": NOISES, "max_shift": (1.0, LARGEST_SHIFT), "max_error": (0.0, np.inf)}
        for name, (least, largest) in limits.items():
            value = getattr(self, name)
            if not least <= value <= largest:
                raise BadParameter(f"{name} is {value} ADU, needs {least:g} to {largest:g}")
        if not 0 < self.fraction <= 1:
            raise BadParameter(f"fraction of dark pixels is {self.fraction}, needs more than 0, up to 1")

    def in_steps(self) -> tuple[float, float, float, float]:
        """(noise, fraction, max_shift, max_error), as `find_shift` takes them."""
        return float(self.noise * STEPS), self.fraction, self.max_shift * STEPS, self.max_error * STEPS


@njit(nogil=True, cache=True)
def find_shift(samples, lit, classes, used, size, noise, fraction, max_shift, max_error):
    """The shift of a block in steps; 0 if there is none to be believed.

    samples: i2 (slow_scan + 2, fast_scan + 2), whole steps; UNUSED where a pixel takes no part, as all
        do that are not in the block: then each pixel has four neighbours, and a block is one line in memory
    lit, classes: scratch memory of the same shape; used: how many take part, of `size` in the block

    The search starts at the quantile fraction / 2, which lies in the dark peak
    if there is one. It goes to the mean of what is within 2 noise of it, until
    that is less than 1 ADU away, three times at most; then to where a line
    through the classes' means meets k = 0, and once more if that was further
    than 1 ADU.
    """
    line, reach = samples.reshape(-1), np.int16(np.rint(DARK * noise))
    shift = _start(line, int(fraction / 2 * used), max_shift)
    for _ in range(WINDOWS):
        total, count = _window(line, shift, reach)
        if count == 0:
            return 0.0
        change = total / count / SHOWN
        shift = _moved(shift, change)
        if np.abs(change) < STEPS:
            break
    change, error = 0.0, np.inf
    for _ in range(LINES):
        shift = _moved(shift, change)
        _lit(line, np.int16(shift + np.rint(LIT * noise)), lit.reshape(-1))
        counts, sums = _classes(line, lit.reshape(-1), samples.shape[1], shift, reach, classes.reshape(-1))
        start, error = _line(counts, sums, noise)
        change = start / SHOWN
        if np.abs(change) < STEPS:
            break
    _, count = _window(line, shift, reach)
    below = _count_below(line, np.int16(shift - np.rint(BELOW * noise)))
    found = shift + change
    good = (count >= fraction * size) & (below <= SHARE_BELOW * count)
    return found if good & (error <= max_error) & (np.abs(found) <= max_shift) else 0.0


@njit(nogil=True, cache=True)
def _moved(shift, change):
    """Within 16 bits, whatever the data."""
    return np.int16(min(max(np.floor(shift + change + 0.5), -_FURTHEST), _FURTHEST))


@njit(nogil=True, cache=True)
def _start(line, rank, max_shift):
    """Value below which `rank` of the samples lie, to 1 ADU, within the shifts allowed."""
    low, high = np.int16(-max_shift - STEPS), np.int16(max_shift + STEPS)
    while high - low > STEPS:
        middle = np.int16((low + high) >> 1)
        if _count_below(line, middle) > rank:
            high = middle
        else:
            low = middle
    return np.int16((low + high) >> 1)


# Sums are of 16 bits, over parts that are short enough: sixteen samples per instruction.


@njit(nogil=True, cache=True)
def _count_below(line, limit):
    count = np.int16(0)
    for i in range(line.size):
        count = np.int16(count + np.int16(line[i] < limit))
    return count


@njit(nogil=True, cache=True)
def _window(line, shift, reach):
    """(sum of samples minus shift, their number) within reach"""
    total, count, part = 0, 0, 0x7FFF // reach
    for a in range(0, line.size, part):
        t, c = _window_of_part(line[a : a + part], shift, reach)
        total += t
        count += c
    return total, count


@njit(nogil=True, cache=True)
def _window_of_part(line, shift, reach):
    low, high = np.int16(shift - reach), np.int16(shift + reach)
    total, count = np.int16(0), np.int16(0)
    for i in range(line.size):
        inside = (line[i] >= low) & (line[i] <= high)
        total = np.int16(total + (np.int16(line[i] - shift) if inside else np.int16(0)))
        count = np.int16(count + np.int16(inside))
    return total, count


@njit(nogil=True, cache=True)
def _lit(line, edge, lit):
    """1 for lit samples, 0 for dark ones; so much for unused ones that their neighbours are in no class."""
    for i in range(line.size):
        lit[i] = np.int16(_CLASSES) if line[i] == UNUSED else np.int16(line[i] >= edge)


@njit(nogil=True, cache=True)
def _classes(line, lit, width, shift, reach, classes):
    """(number, sum minus shift) of dark samples, by how many neighbours are lit."""
    counts, sums = np.zeros(_CLASSES, np.int64), np.zeros(_CLASSES, np.int64)
    a, b, part = width, line.size - width, 0x7FFF // reach
    _class_of_each(
        line[a:b], lit[a - 1 : b - 1], lit[a + 1 : b + 1], lit[: b - width], lit[a + width :],
        shift, reach, classes[a:b],
    )  # fmt: skip
    for start in range(a, b, part):
        stop = min(start + part, b)
        for k in range(_CLASSES):
            s, c = _class_of_part(line[start:stop], classes[start:stop], np.int16(k), shift)
            counts[k] += c
            sums[k] += s
    return counts, sums


@njit(nogil=True, cache=True)
def _class_of_each(line, left, right, up, down, shift, reach, classes):
    low, high = np.int16(shift - reach), np.int16(shift + reach)
    for i in range(line.size):
        k = np.int16(left[i] + right[i] + up[i] + down[i])
        classes[i] = k if (line[i] >= low) & (line[i] <= high) else np.int16(_CLASSES)


@njit(nogil=True, cache=True)
def _class_of_part(line, classes, k, shift):
    total, count = np.int16(0), np.int16(0)
    for i in range(line.size):
        # A factor, not a choice: of that the compiler makes a branch.
        inside = np.int16(classes[i] == k)
        total = np.int16(total + np.int16(np.int16(line[i] - shift) * inside))
        count = np.int16(count + inside)
    return total, count


@njit(nogil=True, cache=True)
def _line(counts, sums, noise):
    """(where the line through the classes' means meets k = 0, its standard error), in steps."""
    w = wk = wkk = wy = wky = 0.0
    weight, total, number = 1.0, 0, 0
    for k in range(_CLASSES):
        w += weight * counts[k]
        wk += weight * counts[k] * k
        wkk += weight * counts[k] * k * k
        wy += weight * sums[k]
        wky += weight * sums[k] * k
        total += sums[k]
        number += counts[k]
        weight *= LIGHTER
    size = w * wkk - wk * wk
    if size <= 0.0:
        # All in one class: only without lit neighbours that tells something.
        return (sums[0] / counts[0], noise / np.sqrt(counts[0])) if counts[0] else (0.0, np.inf)
    start = (wkk * wy - wk * wky) / size
    variance, weight = 0.0, 1.0
    for k in range(_CLASSES):
        variance += counts[k] * (weight * (wkk - wk * k)) ** 2
        weight *= LIGHTER
    return start - CORNERS * (total / number - start), noise * np.sqrt(variance) / size
