"""The kernels again, in NumPy and straight from the formulas: slow, short, meant to be read.

Each does one step for whole arrays at a time. Tests compare bit by bit where
the arithmetic is the same.
"""

import numpy as np

WRONG_GAIN_VALUE = np.uint32(0x200000)
VALUE_OUT_OF_RANGE = np.uint32(0x1000)
VALUE_IS_NAN = np.uint32(0x800)
NO_DARK_DATA = np.uint32(0x8)


def correct(adc, code, cell, offset, scale, word, nan_mask=0, wrong_gain_value=0.0):
    """(data f4, gain u1, mask u4); constants (cell, stage, pixel), samples (frame, pixel)."""
    adc, cell = adc & 0x3FFF, np.asarray(cell)
    known = (cell >= 0) & (cell < len(offset))
    c = np.where(known, cell, 0)[:, None]
    p = np.arange(adc.shape[1])[None, :]
    stage = np.where(code == 0, 0, np.where(code == 1, 1, 2))
    wrong = ~np.isin(code, [0, 1, 3])

    with np.errstate(all="ignore"):
        data = (adc.astype("f4") - offset[c, stage, p]) * scale[c, stage, p]
    data[wrong] = wrong_gain_value

    mask = word[c, stage, p].copy()
    mask[wrong] |= WRONG_GAIN_VALUE
    mask[(adc == 0) | (adc == 0x3FFF)] |= VALUE_OUT_OF_RANGE
    mask[~np.isfinite(data) & ~wrong] |= VALUE_IS_NAN

    data[(mask & np.uint32(nan_mask)) != 0] = np.nan
    data[~known], mask[~known] = np.nan, NO_DARK_DATA
    data[np.isnan(data)] = np.nan  # one pattern of bits for all of them
    return data, stage.astype("u1"), mask


def pack(offset, gain, bad_pixels, photon_energy):
    """(offset, scale, word), each (cell, stage, pixel), from (cell or 1, stage or 1, slow, fast)."""
    cells = max(len(offset), len(gain), len(bad_pixels))
    shape = (cells, 3, *offset.shape[2:])
    with np.errstate(all="ignore"):
        scale = (1 / gain.astype("f8") / photon_energy).astype("f4")
    scale[(gain == 0) | ~np.isfinite(gain) | ~np.isfinite(scale)] = np.nan
    arrays = (offset.astype("f4"), scale, bad_pixels.astype("u4"))
    return tuple(np.broadcast_to(a, shape).reshape(cells, 3, -1) for a in arrays)


def round_photons(data, threshold=0.5):
    """floor(x + 1 - threshold) in f8, where that sum has no rounding that matters for f4 input."""
    with np.errstate(invalid="ignore"):
        return np.maximum(np.floor(data.astype("f8") + (1 - np.float64(np.float32(threshold)))), 0).astype(
            "f4"
        )


def common_mode(data, gain, mask, blocks, dark_range, min_pixels, max_shift, excluded):
    """(corrected, [shifts of each step])."""
    data, gate = data.copy(), np.inf if dark_range is None else np.float32(dark_range)
    corrected = (gain == 0) & ((mask & np.uint32(excluded)) == 0)
    shifts = []
    for slow, fast in blocks:
        shift = np.zeros((len(data), data.shape[1] // slow, data.shape[2] // fast), "f4")
        for n, j, k in np.ndindex(shift.shape):
            part = n, slice(j * slow, (j + 1) * slow), slice(k * fast, (k + 1) * fast)
            values = data[part][corrected[part] & (np.abs(data[part]) < gate)]
            if len(values) > min_pixels and 0 < abs(np.median(values)) < max_shift:
                shift[n, j, k] = np.median(values)
                data[part][corrected[part]] -= shift[n, j, k]
        shifts.append(shift)
    return data, shifts


def dark_sums(adc, code, cell, expected_code, cells):
    """{name: (cell, pixel) whole numbers} in Python integers, which never overflow."""
    adc = (adc & 0x3FFF).astype(object)
    right = code == expected_code
    sums = {}
    for name, values in {
        "count": right,
        "total": adc * right,
        "squares": adc**2 * right,
        "saturated": right & ((adc == 0) | (adc == 0x3FFF)),
        "wrong": ~right,
    }.items():
        per_cell = [values[np.asarray(cell) == c].astype(object).sum(axis=0) for c in range(cells)]
        sums[name] = np.array(per_cell, object).reshape(cells, adc.shape[1])
    return sums


def of_expected(function, adc, code, cell, expected_code, cells):
    """function(samples with the expected code) per (cell, pixel), NaN without samples."""
    result = np.full((cells, adc.shape[1]), np.nan)
    for c, p in np.ndindex(result.shape):
        values = (adc & 0x3FFF)[np.asarray(cell) == c, p][code[np.asarray(cell) == c, p] == expected_code]
        if len(values):
            result[c, p] = function(values)
    return result


def statistics(data, gain, mask, excluded, edges):
    """The sums of `CorrectedStatistics`; edges: per gain stage, of its bins."""
    used = np.isfinite(data) & ((mask & np.uint32(excluded)) == 0)
    rounded = np.rint(np.where(used, data, 0).clip(-(2**24), 2**24).astype("f8") * 2**16) / 2**16
    return {
        "total": rounded.sum(axis=0),
        "stage_sum": gain.sum(axis=0),
        "count": used.sum(axis=0),
        "any_bits": np.bitwise_or.reduce(mask, axis=0),
        "stages": np.array([(gain == g).sum() for g in range(3)]),
        "bad_bits": np.array([(mask >> np.uint32(bit) & 1).sum() for bit in range(32)]),
        "histogram": np.array([_bins(data[used & (gain == g)], edges[g]) for g in range(3)]),
    }


def _bins(values, edges):
    """Counts below, in and above the bins; a value's place is worked out in f4."""
    bins = len(edges) - 1
    per_width = np.float32(bins / (edges[-1] - edges[0]))
    with np.errstate(over="ignore"):
        places = np.floor((values - np.float32(edges[0])) * per_width) + 1
    return np.bincount(places.clip(0, bins + 1).astype(int), minlength=bins + 2)


def rubbish(shape, dtype, past=0):
    """An array to be overwritten that begins some bytes past a line of the cache."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.full(size + 128, 0xA5, "u1")
    start = -buffer.ctypes.data % 64 + past
    return buffer[start : start + size].view(dtype).reshape(shape)
