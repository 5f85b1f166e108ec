"""The shift by the dark peak again, in NumPy and straight from the description."""

import numpy as np

SIDES = ((slice(None, -2), slice(1, -1)), (slice(2, None), slice(1, -1)),
         (slice(1, -1), slice(None, -2)), (slice(1, -1), slice(2, None)))  # fmt: skip


def dark_peak_shift(data, gain, mask, block, peak, excluded):
    """(corrected, shift), in steps of 1/4 ADU."""
    data, (slow, fast) = data.copy(), block
    corrected = (gain == 0) & ((mask & np.uint32(excluded)) == 0)
    shift = np.zeros((len(data), data.shape[1] // slow, data.shape[2] // fast), "f4")
    for n, j, k in np.ndindex(shift.shape):
        part = n, slice(j * slow, (j + 1) * slow), slice(k * fast, (k + 1) * fast)
        used = corrected[part] & (np.abs(data[part]) < 8000)
        steps = np.rint(np.where(used, data[part], 0) * np.float32(4)).astype(int)
        shift[n, j, k] = _find(steps, used, peak) / 4
        if shift[n, j, k]:
            data[part] -= np.where(corrected[part], shift[n, j, k], np.float32(0))
    return data, shift


def _find(steps, used, peak):
    noise, values = peak.noise * 4, steps[used]
    reach, fewest = np.rint(2 * noise), peak.fraction * used.size
    if len(values) < max(1, np.ceil(fewest)):
        return 0
    place = _start(values, int(peak.fraction / 2 * len(values)), peak.max_shift * 4)
    for _ in range(3):
        near = values[np.abs(values - place) <= reach] - place
        if not len(near):
            return 0
        change = near.sum() / len(near) / 0.774
        place = _moved(place, change)
        if abs(change) < 4:
            break
    change = 0.0
    for _ in range(2):
        place = _moved(place, change)
        start, error = _line(*_classes(steps, used, place, reach, np.rint(1.5 * noise)), noise)
        change = start / 0.774
        if abs(change) < 4:
            break
    count = (np.abs(values - place) <= reach).sum()
    below = (values < place - np.rint(3 * noise)).sum()
    good = count >= fewest and below <= 0.05 * count and error <= peak.max_error * 4
    return place + change if good and abs(place + change) <= peak.max_shift * 4 else 0


def _start(values, rank, largest):
    low, high = int(-largest - 4), int(largest + 4)
    while high - low > 4:
        middle = (low + high) >> 1
        low, high = (low, middle) if (values < middle).sum() > rank else (middle, high)
    return (low + high) >> 1


def _moved(place, change):
    return int(np.clip(np.floor(place + change + 0.5), -30000, 30000))


def _classes(steps, used, place, reach, edge):
    inner = slice(1, -1), slice(1, -1)
    lit, known = used & (steps >= place + edge), used[inner].copy()
    k = np.zeros(known.shape, int)
    for side in SIDES:
        known &= used[side]
        k += lit[side]
    values = steps[inner] - place
    known &= np.abs(values) <= reach
    return [int((known & (k == i)).sum()) for i in range(5)], [
        int(values[known & (k == i)].sum()) for i in range(5)
    ]


def _line(counts, sums, noise):
    """By the normal equations, summed one after the other."""
    w = wk = wkk = wy = wky = 0.0
    weights = np.cumprod([1, *[1 / 3] * 4])
    for k in range(5):
        w, wk, wkk = (s + weights[k] * counts[k] * k**p if p else s + weights[k] * counts[k]
                      for p, s in enumerate((w, wk, wkk)))  # fmt: skip
        wy, wky = wy + weights[k] * sums[k], wky + weights[k] * sums[k] * k
    size = w * wkk - wk * wk
    if size <= 0:
        return (sums[0] / counts[0], noise / np.sqrt(counts[0])) if counts[0] else (0.0, np.inf)
    start = (wkk * wy - wk * wky) / size
    variance = 0.0
    for k in range(5):
        variance += counts[k] * (weights[k] * (wkk - wk * k)) ** 2
    return start - 1 / 24 * (sum(sums) / sum(counts) - start), noise * np.sqrt(variance) / size
