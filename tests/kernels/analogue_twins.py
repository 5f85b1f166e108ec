"""The kernels for analogue gain planes again, in NumPy and straight from the formulas."""

import numpy as np

WORD = {"VALUE_IS_NAN": 0x800, "VALUE_OUT_OF_RANGE": 0x1000, "NO_DARK_DATA": 0x8}


def stages(adc, level, thresholds, offset, *, gap=False, high_below=None, medium_below=None, high_from=0):
    """u1 (frame, pixel): thresholds, then the rules one after the other, all in f8.

    thresholds (frame, 2, pixel), offset (frame, 3, pixel): those of each frame's cell
    """
    adc, level = adc.astype("f8"), level.astype("f8")
    first, second = thresholds[:, 0].copy(), thresholds[:, 1].copy()
    with np.errstate(invalid="ignore"):
        if gap:
            second[second <= 1.05 * first] = np.nan
        stage = np.zeros(adc.shape, "u1")
        stage[level > np.maximum(first, 0)] = 1
        stage[level > np.maximum(second, 0)] = 2
        if medium_below is not None:
            stage[(stage == 2) & (adc < np.minimum(offset[:, 1].astype("f8") + medium_below, 0xFFFF))] = 1
        if high_below is not None:
            force = offset[:, high_from].astype("f8") + high_below
            stage[(stage >= 1) & (adc < np.minimum(force, 0xFFFF))] = 0
    return stage


def correct(adc, stage, cell, offset, scale, word, nan_mask=0, medium_not_negative=False):
    """(data f4, mask u4) for known stages; constants (cell, stage, pixel), samples (frame, pixel)."""
    cell = np.asarray(cell)
    known = (cell >= 0) & (cell < len(offset))
    c, p = np.where(known, cell, 0)[:, None], np.arange(adc.shape[1])[None, :]
    with np.errstate(all="ignore"):
        data = adc.astype("f4") - offset[c, stage, p]
        if medium_not_negative:
            data[(stage == 1) & (data < 0)] = 0
        data = data * scale[c, stage, p]
        mask = word[c, stage, p].copy()
        mask[(adc == 0) | (adc >= 0x3FFF) | (np.abs(data) > 1e7)] |= WORD["VALUE_OUT_OF_RANGE"]
    mask[~np.isfinite(data)] |= WORD["VALUE_IS_NAN"]
    data[(mask & np.uint32(nan_mask)) != 0] = np.nan
    data[~known], mask[~known] = np.nan, WORD["NO_DARK_DATA"]
    data[np.isnan(data)] = np.nan  # one pattern of bits for all of them
    return data, mask


def dark_window_shift(data, gain, mask, block, dark_range, fraction, iterations, excluded):
    """(corrected, shift), in whole steps of 1/256 ADU."""
    data, (slow, fast) = data.copy(), block
    corrected = (gain == 0) & ((mask & np.uint32(excluded)) == 0)
    shift = np.zeros((len(data), data.shape[1] // slow, data.shape[2] // fast), "f4")
    low, high = np.ceil(dark_range[0] * 256), np.floor(dark_range[1] * 256)
    for n, j, k in np.ndindex(shift.shape):
        part = n, slice(j * slow, (j + 1) * slow), slice(k * fast, (k + 1) * fast)
        values = data[part][corrected[part]]
        steps = np.rint(values[np.abs(values) < 2**15] * np.float32(256)).astype(int)
        found = 0
        for _ in range(iterations):
            inside = steps[(steps - found >= low) & (steps - found <= high)] - found
            if len(inside) < max(1, fraction * slow * fast):
                break
            found += int(np.floor(inside.sum() / len(inside) + 0.5))
        shift[n, j, k] = found / 256
        data[part] -= np.where(corrected[part], shift[n, j, k], np.float32(0))
    return data, shift


def _in_order(values):
    """Sum one after the other, as a loop does; NumPy's own sum goes by pairs."""
    return np.cumsum(values, dtype="f8")[-1] if len(values) else 0.0


def _subtracted(data, used, shift):
    return np.where(used, data - shift[:, None], data - np.float32(0)), shift


def noise_peak_shift(data, gain, mask, search, bin_width, within, threshold, min_pixels, excluded):
    """(corrected, shift)"""
    used = (gain == 0) & ((mask & np.uint32(excluded)) == 0)
    shift = np.zeros(len(data), "f4")
    bins = max(3, int(np.ceil((search[1] - search[0]) / bin_width)))
    for n in range(len(data)):
        values = data[n][used[n] & (np.abs(data[n]) < 1e6)].astype("f8")
        place = np.floor((values - search[0]) / bin_width)
        counts = np.bincount(place[(place >= 0) & (place < bins)].astype(int), minlength=bins)
        if counts.sum() < min_pixels or _in_order(values) / max(len(values), 1) > threshold:
            continue
        smooth = np.concatenate([[0], counts[:-2] + counts[1:-1] + counts[2:], [0]])
        high = [
            i for i in range(1, bins - 1)
            if smooth[i] >= 0.3 * smooth.max() and smooth[i] >= smooth[max(i - 3, 0) : i + 4].max()
        ]  # fmt: skip
        peak = search[0] + bin_width * ((high[0] if high else int(np.argmax(smooth))) + 0.5)
        for _ in range(4):
            near = values[np.abs(values - peak) <= within] - peak
            peak = peak + _in_order(near) / len(near) if len(near) else peak
        shift[n] = peak
    return _subtracted(data, used, shift)


def stripe_shift(data, gain, mask, stripes, min_pixels, excluded):
    """(corrected, shift)"""
    used = (gain == 0) & ((mask & np.uint32(excluded)) == 0)
    shift = np.zeros(len(data), "f4")
    for n in range(len(data)):
        values = data[n][used[n] & stripes & (np.abs(data[n]) < 1e6)]
        if len(values) >= max(min_pixels, 1):
            shift[n] = np.median(values) + np.float32(0)
    return _subtracted(data, used, shift)


def histogram_shift(data, gain, mask, reference, low, bin_width, largest, min_pixels, excluded):
    """(corrected, shift)"""
    used = (gain == 0) & ((mask & np.uint32(excluded)) == 0)
    shift, tried, root = np.zeros(len(data), "f4"), int(largest / bin_width), np.sqrt(reference)
    bins = len(root) + 2 * tried
    for n in range(len(data)):
        values = data[n][used[n] & (np.abs(data[n]) < 1e6)].astype("f8")
        place = np.floor((values - (low - tried * bin_width)) / bin_width)
        counts = np.bincount(place[(place >= 0) & (place < bins)].astype(int), minlength=bins)
        if counts.sum() < min_pixels:
            continue
        own = np.sqrt(counts)
        match = [_in_order(own[s : s + len(root)] * root) for s in range(2 * tried + 1)]
        best, part = int(np.argmax(match)), 0.0
        if 0 < best < 2 * tried:
            bend = match[best - 1] - 2 * match[best] + match[best + 1]
            part = 0.5 * (match[best - 1] - match[best + 1]) / bend if bend < 0 else 0.0
        shift[n] = (best + part - tried) * bin_width
    return _subtracted(data, used, shift)


def light_shift(data, gain, mask, block, per_signal, ratios, largest, excluded):
    """(corrected, shift)"""
    data, (slow, fast) = data.copy(), block
    good = (mask & np.uint32(excluded)) == 0
    shift = np.zeros((len(data), data.shape[1] // slow, data.shape[2] // fast), "f4")
    for n, j, k in np.ndindex(shift.shape):
        part = n, slice(j * slow, (j + 1) * slow), slice(k * fast, (k + 1) * fast)
        usable = good[part] & (np.abs(data[part]) < 1e6)
        light = data[part] * np.array(ratios, "f4")[np.minimum(gain[part], 2)]
        total = _in_order([_in_order(row[u]) for row, u in zip(light, usable, strict=True)])
        shift[n, j, k] = np.clip(per_signal * total / max(usable.sum(), 1), -largest, largest)
        data[part] -= np.where(good[part] & (gain[part] == 0), shift[n, j, k], np.float32(0))
    return data, shift
