"""What SlopesPC, the lines of a scan of the pulsed capacitor, tells about the gains of a pixel."""

from __future__ import annotations

import numpy as np

from calibook.detectors.agipd import MEDIUM_TO_LOW_RATIO, SLOPES_PC


def slope_ratio(slopes_pc: np.ndarray) -> np.ndarray:
    """High over medium slope: (cell, slow_scan, fast_scan); NaN without lines."""
    return divided(slopes_pc[:, _at("high slope")], slopes_pc[:, _at("medium slope")])


def relative_gains(slopes_pc: np.ndarray) -> np.ndarray:
    """What brings each stage onto the scale of high gain: f8 (cell, 3, slow_scan, fast_scan).

    1, slope of high over that of medium gain, and 4.48 times that for low gain,
    which the scan does not reach. Pixels without lines take the median of their cell.
    """
    ratio = slope_ratio(slopes_pc.astype("f8"))
    ratio = np.where(np.isfinite(ratio), ratio, median_of_cells(ratio))
    return np.stack([np.ones_like(ratio), ratio, ratio * MEDIUM_TO_LOW_RATIO], axis=1)


def medium_shift(slopes_pc: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """ADU of medium gain by which its line is moved to meet that of high gain: f8 (cell, 1, slow, fast).

    offset: dark signal (cell, 3, slow_scan, fast_scan), of forced stages: that of
        medium gain differs from where the line of a pixel that switched by
        itself starts. With intercepts b beyond the offsets and slopes s,

            shift = b_high * s_medium / s_high - b_medium

    0 where there is no line.
    """
    high, medium = (
        slopes_pc[:, _at(f"{name} intercept")] - offset[:, i] for i, name in ((0, "high"), (1, "medium"))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (
            high * slopes_pc[:, _at("medium slope")].astype("f8") / slopes_pc[:, _at("high slope")] - medium
        )
    return np.where(np.isfinite(shift), shift, 0.0)[:, None]


def divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Not finite, without a warning, where there is no ratio."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / b


def median_of_cells(values: np.ndarray) -> np.ndarray:
    """Over the finite pixels of each cell: (cell, 1, 1); NaN where there is none."""
    result = np.full((len(values), 1, 1), np.nan)
    for cell, of_cell in enumerate(values):
        chosen = of_cell[np.isfinite(of_cell)]
        if chosen.size:
            result[cell] = np.median(chosen)
    return result


def _at(quantity: str) -> int:
    return SLOPES_PC.index(quantity)
