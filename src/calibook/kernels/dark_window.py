"""Shifts that all pixels of a chip share in one frame, from the mean of those near zero.

`common_mode` takes medians, which lit pixels pull along. Here only pixels in a
window round zero count, so that most of a chip may be lit. The window cuts a
shifted dark peak at one side, and its mean then is too small: hence the window
follows the shift found so far, some times over.

Values are compared and summed as whole numbers of 1/256 ADU: sums are exact,
the same on every machine, and eight at a time without leave to reorder floats.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels import bits
from calibook.kernels.checks import check_blocks, check_images

STEPS = 256
"""Steps per ADU: rounding to them adds nothing to the noise of 8 ADU."""
MAX_WINDOW = 1000.0
"""ADU, so that the sum over a chip fits into 31 bits."""
MOST_PIXELS = 8192

_UNUSED = np.int32(-(1 << 30))
_REACH = np.float32(1 << 15)


def dark_window_shift(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    block: tuple[int, int],
    dark_range: tuple[float, float] = (-30.0, 30.0),
    fraction: float = 0.15,
    iterations: int = 4,
    excluded: int = bits.ALL,
) -> np.ndarray:
    """Find and take out the shift of each block, in place.

    data: f4 (frame, slow_scan, fast_scan), offset-subtracted ADU
    gain: u1, same shape, gain stage; only pixels of stage 0 take part
    mask: u4, same shape; pixels with one of the bits `excluded` take no part
    block: (slow_scan, fast_scan) of a block; blocks tile the frame
    dark_range: (low, high), signals that count as dark, both ends included [ADU].
        A shift by more than the window's half width is hardly ever found
    fraction: share of a block's pixels, bad ones and all, that must be in the
        window; a block with fewer has too much signal and keeps its shift
    iterations: how often at most the window follows the shift

        shift = 0;  repeat: shift += mean(x - shift, low <= x - shift <= high)

    Pixels that don't take part are not corrected; lit ones are. Returns the
    shift of each block: f4 (frame, blocks on slow_scan, blocks on fast_scan),
    multiples of 1/256 ADU.

    Charge that photons on neighbouring pixels share lies in the window, too, and
    pulls the shift up in proportion to the light: with photons of 65 ADU, a charge
    cloud of 5 % of a pixel and a window of +-30 ADU by 4.7 ADU per photon and
    pixel, which takes 7 % of the signal; of +-12 ADU by 1.8. The shifts' differences from
    frame to frame are found all the same.

    Window, fraction and number of iterations are parameters of European XFEL's
    correction; its formula is not published. Raises BadParameter.
    """
    check_images(data, gain, mask)
    check_blocks(block, data.shape[1:], MOST_PIXELS)
    shape, (slow, fast) = data.shape, block
    window = _checked_window(dark_range)
    if not 0 <= fraction <= 1:
        raise BadParameter(f"fraction of dark pixels is {fraction}, needs 0 to 1")
    shift = np.zeros((shape[0], shape[1] // slow, shape[2] // fast), np.float32)
    fewest = max(1, int(np.ceil(fraction * slow * fast)))
    _shift(data, gain, mask, slow, fast, *window, fewest, iterations, np.uint32(excluded), shift)
    return shift


def _checked_window(dark_range: tuple[float, float]) -> tuple[np.int32, np.int32]:
    low, high = dark_range
    if not -MAX_WINDOW <= low < high <= MAX_WINDOW:
        raise BadParameter(
            f"dark range is {low} to {high} ADU; needs the low end below the high one, "
            f"both within +-{MAX_WINDOW:.0f}"
        )
    return np.int32(np.ceil(low * STEPS)), np.int32(np.floor(high * STEPS))


@njit(nogil=True, cache=True)
def _shift(data, gain, mask, slow, fast, low, high, fewest, iterations, excluded, shift):
    steps = np.empty(slow * fast, np.int32)
    for n in range(shift.shape[0]):
        for j in range(shift.shape[1]):
            for k in range(shift.shape[2]):
                for i in range(slow):
                    row, a = j * slow + i, k * fast
                    _to_steps(
                        data[n, row, a : a + fast], gain[n, row, a : a + fast], mask[n, row, a : a + fast],
                        excluded, steps[i * fast : (i + 1) * fast],
                    )  # fmt: skip
                found = _follow(steps, low, high, fewest, iterations)
                if found == 0:
                    continue
                shift[n, j, k] = np.float32(found) / np.float32(STEPS)
                for i in range(slow):
                    row, a = j * slow + i, k * fast
                    _subtract(
                        data[n, row, a : a + fast], gain[n, row, a : a + fast], mask[n, row, a : a + fast],
                        excluded, shift[n, j, k],
                    )  # fmt: skip


@njit(nogil=True, cache=True)
def _to_steps(x, g, m, excluded, steps):
    for i in range(x.size):
        used = (g[i] == 0) & ((m[i] & excluded) == 0) & (np.abs(x[i]) < _REACH)
        # The limit comes before the cast: a float out of an integer's range has no defined value.
        value = x[i] if used else np.float32(0)
        whole = np.int32(np.rint(value * np.float32(STEPS)))
        steps[i] = whole if used else _UNUSED


@njit(nogil=True, cache=True)
def _follow(steps, low, high, fewest, iterations):
    shift = np.int32(0)
    for _ in range(iterations):
        total, count = _sum_of_window(steps, shift, low, high)
        if count < fewest:
            break
        change = np.int32(np.floor(total / count + 0.5))
        shift = np.int32(shift + change)
        if change == 0:
            break
    return shift


@njit(nogil=True, cache=True)
def _sum_of_window(steps, shift, low, high):
    total, count = np.int32(0), np.int32(0)
    for i in range(steps.size):
        value = np.int32(steps[i] - shift)
        inside = (value >= low) & (value <= high)
        total = np.int32(total + (value if inside else np.int32(0)))
        count = np.int32(count + np.int32(inside))
    return total, count


@njit(nogil=True, cache=True)
def _subtract(x, g, m, excluded, shift):
    for i in range(x.size):
        x[i] -= shift if (g[i] == 0) & ((m[i] & excluded) == 0) else np.float32(0)
