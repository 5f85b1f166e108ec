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
