"""The shifts that `dark_peak` finds: in corrected frames, or in raw ones before anything is corrected.

Both ways find the same, bit by bit. In corrected frames shifts can be found after a baseline was, and are
taken out in place. In raw ones they are found where the frames are read first; `analogue_gain.correct_frames`
then takes them out on its way, and nothing but the raw frames is read twice.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels import bits
from calibook.kernels.analogue_packing import AnalogueConstants
from calibook.kernels.cells import frames_by_cell
from calibook.kernels.checks import check_array, check_blocks, check_images
from calibook.kernels.dark_peak import MOST_PIXELS, REACH, STEPS, UNUSED, DarkPeak, find_shift
from calibook.kernels.lane_steps import LANES
from calibook.kernels.sample_steps import raw_samples_step


def dark_peak_shift(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    block: tuple[int, int],
    peak: DarkPeak | None = None,
    excluded: int = bits.ALL,
) -> np.ndarray:
    """Find and take out the shift of each block, in place.

    data: f4 (frame, slow_scan, fast_scan), offset-subtracted ADU
    gain: u1, same shape, gain stage; only pixels of stage 0 take part
    mask: u4, same shape; pixels with one of the bits `excluded` take no part
    block: (slow_scan, fast_scan) of a block; blocks tile the frame

    How it is found is told by `dark_peak.find_shift`. Classes count dark pixels inside the block whose four
    neighbours take part. Pixels that don't take part are not corrected; lit ones are.

    Returns the shift of each block, f4 (frame, blocks on slow_scan, blocks on
    fast_scan), 0 where nothing was done.

    Measured with the forward model, which shares 8 % of the charge: of flat light of
    0.1 to 1 photons of 9.3 or 12 keV per pixel 0.1 % is lost, of 6 keV 0.2 to 0.8 %;
    of rings 0.15 % is won. The estimate by `dark_window` takes 7, 5 and 20 to 33 %, of
    rings 4 %. Up to one photon per pixel 97 % of the shifts' variance goes. Near
    1.5, beyond which chips are left alone, it is 93 %, and 0.5 to 1.5 % are lost.

    Raises BadParameter for blocks that don't tile the frame.
    """
    check_images(data, gain, mask)
    shift = _no_shifts(data.shape, block)
    _shift(data, gain, mask, *block, *(peak or DarkPeak()).in_steps(), np.uint32(excluded), shift)
    return shift


def raw_dark_peak_shift(
    raw: np.ndarray,
    cell: np.ndarray,
    constants: AnalogueConstants,
    shape: tuple[int, int],
    block: tuple[int, int],
    peak: DarkPeak | None = None,
    excluded: int = bits.ALL,
) -> np.ndarray:
    """The shifts that `dark_peak_shift` finds after `analogue_gain.correct_frames` with `offset_only`.

    raw: u2 (frame, 2, pixel), cell: integers (frame,), as that takes them
    shape: (slow_scan, fast_scan) of a frame; all else as in `dark_peak_shift`

    Frames of a cell without constants have none.
    Raises BadParameter for blocks that don't tile the frame, or are no multiple of 8 pixels wide.
    """
    check_array("raw", raw, "u2", (len(raw), 2, constants.pixels))
    if shape[0] * shape[1] != constants.pixels or np.shape(cell) != (len(raw),):
        raise ValueError(f"frames of {shape} with cells {np.shape(cell)} don't fit constants and raw frames")
    if block[1] % LANES:
        raise BadParameter(f"blocks are {block[1]} pixels wide, needs a multiple of {LANES}")
    shift = _no_shifts((len(raw), *shape), block)
    order, first, _ = frames_by_cell(cell, constants.cells)
    arrays = constants.threshold, constants.force_below, constants.offset, constants.mask
    limits = (peak or DarkPeak()).in_steps()
    _raw_shift(raw, order, first, *arrays, *block, *limits, np.uint32(excluded), shift)
    return shift


def shift_of_lanes(shift: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Shifts of blocks as `analogue_gain.correct_frames` takes them: f4 (frame, pixel // 8).

    shift: f4 (frame, blocks on slow_scan, blocks on fast_scan), of `raw_dark_peak_shift`
    shape: (slow_scan, fast_scan) of a frame
    """
    slow, fast = shape[0] // shift.shape[1], shape[1] // shift.shape[2] // LANES
    return shift.repeat(slow, axis=1).repeat(fast, axis=2).reshape(len(shift), -1)


def _no_shifts(shape: tuple[int, int, int], block: tuple[int, int]) -> np.ndarray:
    slow, fast = block
    check_blocks(block, shape[1:], MOST_PIXELS)
    return np.zeros((shape[0], shape[1] // slow, shape[2] // fast), np.float32)


@njit(nogil=True, cache=True)
def _shift(data, gain, mask, slow, fast, noise, fraction, max_shift, max_error, excluded, shift):
    blocks = shift.shape[2]
    samples, lit, classes, used = _scratch(blocks, slow, fast)
    width, line = blocks * fast, samples.reshape(-1)
    # Of these short rows there are no slices: making one takes as long as half a row.
    x, g, m = data.reshape(-1), gain.reshape(-1), mask.reshape(-1)
    for n in range(shift.shape[0]):
        for j in range(shift.shape[1]):
            # Blocks side by side together: so the memory is read and written in order.
            used[:] = 0
            for row in range(slow):
                start = ((n * shift.shape[1] + j) * slow + row) * width
                for k in range(blocks):
                    rim = (k * (slow + 2) + row + 1) * (fast + 2) + 1
                    used[k] += _to_steps(x, g, m, start + k * fast, fast, excluded, line, rim)
            _find(
                samples, lit, classes, used, slow * fast, noise, fraction, max_shift, max_error, shift[n, j]
            )
            if not shift[n, j].any():
                continue
            for row in range(slow):
                start = ((n * shift.shape[1] + j) * slow + row) * width
                for k in range(blocks):
                    _subtract(x, g, m, start + k * fast, fast, excluded, shift[n, j, k])


@njit(nogil=True, cache=True)
def _raw_shift(
    raw, order, first, threshold, force_below, offset, word, slow, fast, noise, fraction, max_shift,
    max_error, excluded, shift,
):  # fmt: skip
    blocks = shift.shape[2]
    samples, lit, classes, used = _scratch(blocks, slow, fast)
    for c in range(first.size - 1):
        # An array with one cell serves all cells.
        t, f = threshold[c % len(threshold)], force_below[c % len(force_below)]
        o, w = offset[c % len(offset)], word[c % len(word)]
        for j in range(shift.shape[1]):
            # The constants of some rows stay near while all frames of the cell are looked at.
            for k in range(first[c], first[c + 1]):
                n = order[k]
                _raw_to_steps(raw, n, j * slow, t, f, o, w, excluded, samples, used)
                _find(
                    samples,
                    lit,
                    classes,
                    used,
                    slow * fast,
                    noise,
                    fraction,
                    max_shift,
                    max_error,
                    shift[n, j],
                )


@njit(nogil=True, cache=True)
def _scratch(blocks, slow, fast):
    """(samples of blocks side by side, lit, classes, how many pixels of each are used), see `find_shift`."""
    samples = np.full((blocks, slow + 2, fast + 2), UNUSED, np.int16)
    return samples, np.empty_like(samples[0]), np.empty_like(samples[0]), np.zeros(blocks, np.int64)


@njit(nogil=True, cache=True)
def _find(samples, lit, classes, used, size, noise, fraction, max_shift, max_error, shift):
    for k in range(shift.size):
        if used[k] >= max(1, int(np.ceil(fraction * size))):
            found = find_shift(samples[k], lit, classes, used[k], size, noise, fraction, max_shift, max_error)
            shift[k] = np.float32(found / STEPS)


@njit(nogil=True, cache=True)
def _to_steps(x, g, m, start, size, excluded, steps, rim):
    """A row, from `start`, in whole steps, from `rim`; returns how many pixels take part."""
    count = np.int32(0)
    for n in range(size):
        # Indices without sign: others may count from the end, and are taken one by one.
        i, to = np.uint64(start) + np.uint64(n), np.uint64(rim) + np.uint64(n)
        used = (g[i] == 0) & ((m[i] & excluded) == 0) & (np.abs(x[i]) < REACH)
        # The limit comes before the cast: a float out of an integer's range has no defined value.
        value = x[i] if used else np.float32(0)
        whole = np.int16(np.int32(np.rint(value * np.float32(STEPS))))
        steps[to] = whole if used else UNUSED
        count = np.int32(count + np.int32(used))
    return count


@njit(nogil=True, cache=True)
def _raw_to_steps(raw, n, first_row, threshold, force_below, offset, word, excluded, samples, used):
    """Rows of frame n in whole steps; `used` becomes the number of pixels that take part, of each block."""
    blocks, slow, fast = samples.shape[0], samples.shape[1] - 2, samples.shape[2] - 2
    pixels, width = np.uint64(raw.shape[2]), blocks * fast
    adc = np.uint64(raw.ctypes.data) + np.uint64(4) * np.uint64(n) * pixels
    t, f = np.uint64(threshold.ctypes.data), np.uint64(force_below.ctypes.data)
    o, w, to = np.uint64(offset.ctypes.data), np.uint64(word.ctypes.data), np.uint64(samples.ctypes.data)
    used[:] = 0
    for row in range(slow):
        for k in range(blocks):
            start = np.uint64((first_row + row) * width + k * fast)
            rim = np.uint64((k * (slow + 2) + row + 1) * (fast + 2) + 1)
            count = np.uint32(0)
            for i in range(fast // LANES):
                p, place = start + np.uint64(i * LANES), rim + np.uint64(i * LANES)
                two, four = np.uint64(2) * p, np.uint64(4) * p
                count += raw_samples_step(
                    adc + two,
                    t + two,
                    f + two,
                    o + four,
                    w + four,
                    pixels,
                    excluded,
                    to + np.uint64(2) * place,
                )
            used[k] += count


@njit(nogil=True, cache=True)
def _subtract(x, g, m, start, size, excluded, shift):
    for n in range(size):
        i = np.uint64(start) + np.uint64(n)
        x[i] -= shift if (g[i] == 0) & ((m[i] & excluded) == 0) else np.float32(0)
