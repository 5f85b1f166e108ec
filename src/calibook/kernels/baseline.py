"""Shift of a chip's or module's baseline in one frame, found in several ways.

Three take a frame's samples of high gain that are not masked, and find how far
their dark signals lie from zero. They know no neighbours, and take charge that
photons leave in dark pixels for part of the shift: the noise peak 5 % of the
signal, with photons of 9.3 keV. The common mode of chips by `dark_peak`, before
which nothing need be done about shifts up to 400 ADU, does not; after it, what
these took wrongly is put right. The fourth is for chips without dark pixels,
and reckons the shift from the light. Values are ADU, offset-subtracted. None of
the facility's formulas are published; these are ours.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.errors import BadParameter
from calibook.kernels import bits
from calibook.kernels.checks import check_array, check_blocks, check_images
from calibook.kernels.common_mode import median

SMOOTHED = 3
"""Bins that are summed for a look at where the peaks are."""
PEAK_SHARE = 0.3
"""A peak is a place with at least this share of the highest one's counts."""
REFINEMENTS = 4
_LARGEST = 1e6


def noise_peak_shift(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    search: tuple[float, float] = (-2000.0, 100.0),
    bin_width: float = 5.0,
    refine_within: float = 20.0,
    noise_threshold: float = 5000.0,
    min_pixels: int = 500,
    excluded: int = bits.ALL,
) -> np.ndarray:
    """Take from each frame the place of its dark peak, in place.

    data, gain, mask: f4 ADU, u1, u4 (frame, pixel)
    search: (low, high), where the peak may be [ADU]
    refine_within: distance round the peak whose samples tell its place [ADU]
    noise_threshold: frames with a higher mean signal are left alone [ADU]
    min_pixels: so are frames with fewer samples in `search`

    The dark peak is the lowest local maximum of the histogram, three bins
    summed, that holds at least 30 % of what the highest does: with a photon and
    more per pixel the highest may be a photon peak. Its place is then the mean
    of the samples within `refine_within`, four times over.

    Returns the shift of each frame, f4 (frame,), 0 where nothing was done.
    """
    _check(data, gain, mask)
    low, high = search
    if not (low < high and bin_width > 0 and refine_within > 0):
        raise BadParameter(f"search from {low} to {high} ADU in bins of {bin_width}: needs low below high")
    bins = max(SMOOTHED, int(np.ceil((high - low) / bin_width)))
    shift = np.zeros(len(data), np.float32)
    limits = (float(low), float(bin_width), float(refine_within), float(noise_threshold), min_pixels)
    _noise_peaks(data, gain, mask, bins, *limits, np.uint32(excluded), shift)
    return shift


def stripe_shift(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    stripes: np.ndarray,
    min_pixels: int = 100,
    excluded: int = bits.ALL,
) -> np.ndarray:
    """Take from each frame the median of pixels that hardly see light, in place.

    stripes: bool (pixel,), the pixels that tell the baseline, e.g. rows behind a
        mask. More than half of them must be dark in each frame
    min_pixels: fewest of them that are usable; frames with fewer are left alone

    All else as in `noise_peak_shift`.
    """
    _check(data, gain, mask)
    where = np.flatnonzero(stripes)
    if np.shape(stripes) != data.shape[1:] or not len(where):
        raise BadParameter(f"stripes of {len(where)} pixels in a map of {np.shape(stripes)}: needs some")
    shift = np.zeros(len(data), np.float32)
    _stripes(data, gain, mask, where, min_pixels, np.uint32(excluded), shift)
    return shift


def histogram_shift(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    reference: np.ndarray,
    low: float,
    bin_width: float,
    largest: float = 300.0,
    min_pixels: int = 500,
    excluded: int = bits.ALL,
) -> np.ndarray:
    """Take from each frame the shift by which its histogram matches a reference best, in place.

    reference: f8 (bin,), histogram of frames with the right baseline, e.g. the
        sum over frames of like intensity; from `low`, in bins of `bin_width` [ADU]
    largest: shifts from -largest to largest are tried [ADU]
    min_pixels: frames with fewer samples in the histogram's range are left alone

    Match is the sum over bins of sqrt(histogram * reference), the two moved
    against each other by whole bins; the roots keep high peaks from deciding
    alone. A parabola through the best and its neighbours tells parts of a bin.

    All else as in `noise_peak_shift`.
    """
    _check(data, gain, mask)
    if reference.ndim != 1 or not (bin_width > 0 and largest >= bin_width) or not (reference >= 0).all():
        raise BadParameter("reference histogram: needs counts of bins with a width above 0, and room to move")
    shift = np.zeros(len(data), np.float32)
    root = np.sqrt(reference.astype(np.float64))
    tried = int(largest / bin_width)
    _match(
        data, gain, mask, root, float(low), float(bin_width), tried, min_pixels, np.uint32(excluded), shift
    )
    return shift


def light_shift(
    data: np.ndarray,
    gain: np.ndarray,
    mask: np.ndarray,
    block: tuple[int, int],
    per_signal: float,
    ratios: tuple[float, float, float],
    largest: float = 300.0,
    excluded: int = bits.ALL,
) -> np.ndarray:
    """Take from each block's pixels in high gain a share of the block's mean signal, in place.

    data, gain, mask: f4 ADU, u1, u4 (frame, slow_scan, fast_scan)
    block: (slow_scan, fast_scan) of a block; blocks tile the frame
    per_signal: ADU of high gain by which the baseline lies higher, per ADU of mean
        signal on the scale of high gain; negative where light lowers it
    ratios: ADU of high gain per ADU of each stage
    largest: no shift is larger than that [ADU]

    Pixels in all stages are in the mean, but for those with one of the bits
    `excluded`. Returns the shift, f4 (frame, blocks on slow_scan, blocks on fast_scan).
    """
    check_images(data, gain, mask)
    check_blocks(block, data.shape[1:])
    shape, (slow, fast) = data.shape, block
    if not (np.isfinite(per_signal) and largest >= 0):
        raise BadParameter(f"{per_signal} ADU per ADU, {largest} at most: needs numbers")
    shift = np.zeros((shape[0], shape[1] // slow, shape[2] // fast), np.float32)
    factors = np.array(ratios, np.float32)
    _by_light(data, gain, mask, slow, fast, per_signal, factors, largest, np.uint32(excluded), shift)
    return shift


def _check(data, gain, mask) -> None:
    if data.ndim != 2:
        raise ValueError(f"data has shape {data.shape}, needs (frame, pixel)")
    check_array("data", data, "f4", data.shape)
    check_array("gain", gain, "u1", data.shape)
    check_array("mask", mask, "u4", data.shape)


@njit(nogil=True, cache=True)
def _usable(x, g, m, excluded):
    return (g == 0) & ((m & excluded) == 0) & (np.abs(x) < _LARGEST)


@njit(nogil=True, cache=True)
def _noise_peaks(data, gain, mask, bins, low, width, within, threshold, min_pixels, excluded, shift):
    counts = np.empty(bins, np.int64)
    for n in range(data.shape[0]):
        inside, mean = _histogram(data[n], gain[n], mask[n], low, width, excluded, counts)
        if inside < min_pixels or mean > threshold:
            continue
        place = low + width * (_lowest_peak(counts) + 0.5)
        for _ in range(REFINEMENTS):
            place = _mean_near(data[n], gain[n], mask[n], place, within, excluded)
        shift[n] = place
        _subtract(data[n], gain[n], mask[n], excluded, shift[n])


@njit(nogil=True, cache=True)
def _histogram(x, g, m, low, width, excluded, counts):
    """Fill the counts; returns (samples in range, mean of all samples)."""
    counts[:] = 0
    inside, used, total = 0, 0, 0.0
    for i in range(x.size):
        if _usable(x[i], g[i], m[i], excluded):
            used += 1
            total += x[i]
            place = np.floor((x[i] - low) / width)
            if 0 <= place < counts.size:
                counts[int(place)] += 1
                inside += 1
    return inside, total / max(used, 1)


@njit(nogil=True, cache=True)
def _lowest_peak(counts):
    """Bin of the lowest local maximum, over SMOOTHED bins, that is high enough."""
    smooth = np.zeros(counts.size, np.int64)
    for i in range(1, counts.size - 1):
        smooth[i] = counts[i - 1] + counts[i] + counts[i + 1]
    least = PEAK_SHARE * smooth.max()
    for i in range(1, counts.size - 1):
        before = smooth[max(i - SMOOTHED, 0) : i].max()
        behind = smooth[i + 1 : min(i + 1 + SMOOTHED, counts.size)].max()
        if smooth[i] >= least and smooth[i] >= before and smooth[i] >= behind:
            return i
    return int(np.argmax(smooth))


@njit(nogil=True, cache=True)
def _mean_near(x, g, m, place, within, excluded):
    total, count = 0.0, 0
    for i in range(x.size):
        if _usable(x[i], g[i], m[i], excluded) and np.abs(x[i] - place) <= within:
            total += x[i] - place
            count += 1
    return place + total / count if count else place


@njit(nogil=True, cache=True)
def _stripes(data, gain, mask, where, min_pixels, excluded, shift):
    scratch = np.empty(where.size, np.float32)
    for n in range(data.shape[0]):
        size = 0
        for i in where:
            if _usable(data[n, i], gain[n, i], mask[n, i], excluded):
                scratch[size] = data[n, i]
                size += 1
        if size >= max(min_pixels, 1):
            shift[n] = median(scratch[:size]) + np.float32(0)  # no zero with a sign
            _subtract(data[n], gain[n], mask[n], excluded, shift[n])


@njit(nogil=True, cache=True)
def _match(data, gain, mask, root, low, width, tried, min_pixels, excluded, shift):
    # The frame's histogram reaches further, so that a shifted one is in it.
    counts = np.empty(root.size + 2 * tried, np.int64)
    match = np.empty(2 * tried + 1)
    for n in range(data.shape[0]):
        start = low - tried * width
        inside, _ = _histogram(data[n], gain[n], mask[n], start, width, excluded, counts)
        if inside < min_pixels:
            continue
        own = np.sqrt(counts.astype(np.float64))
        for s in range(2 * tried + 1):
            match[s] = (own[s : s + root.size] * root).sum()
        best = int(np.argmax(match))
        part = 0.0
        if 0 < best < 2 * tried:
            bend = match[best - 1] - 2 * match[best] + match[best + 1]
            part = 0.5 * (match[best - 1] - match[best + 1]) / bend if bend < 0 else 0.0
        shift[n] = (best + part - tried) * width
        _subtract(data[n], gain[n], mask[n], excluded, shift[n])


@njit(nogil=True, cache=True)
def _subtract(x, g, m, excluded, shift):
    for i in range(x.size):
        x[i] -= shift if (g[i] == 0) & ((m[i] & excluded) == 0) else np.float32(0)


@njit(nogil=True, cache=True)
def _by_light(data, gain, mask, slow, fast, per_signal, ratios, largest, excluded, shift):
    for n in range(shift.shape[0]):
        for j in range(shift.shape[1]):
            for k in range(shift.shape[2]):
                a, b, total, count = k * fast, (k + 1) * fast, 0.0, 0
                for row in range(j * slow, (j + 1) * slow):
                    t, c = _light_of_row(
                        data[n, row, a:b], gain[n, row, a:b], mask[n, row, a:b], ratios, excluded
                    )
                    total += t
                    count += c
                value = per_signal * total / max(count, 1)
                shift[n, j, k] = min(max(value, -largest), largest)
                for row in range(j * slow, (j + 1) * slow):
                    x, g, m = data[n, row, a:b], gain[n, row, a:b], mask[n, row, a:b]
                    _subtract(x, g, m, excluded, shift[n, j, k])


@njit(nogil=True, cache=True)
def _light_of_row(x, g, m, ratios, excluded):
    total, count = 0.0, 0
    for i in range(x.size):
        if ((m[i] & excluded) == 0) & (np.abs(x[i]) < _LARGEST):
            total += x[i] * ratios[min(g[i], 2)]
            count += 1
    return total, count
