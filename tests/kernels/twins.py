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
