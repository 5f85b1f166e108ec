"""Gains of high and medium gain from scans of the pulsed capacitor.

How much charge a pulse holds is not known well, so that only the ratio of the
slopes tells anything: what one stage's ADU is in the other's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibook.calibration.agipd.slopes import divided, median_of_cells
from calibook.detectors.agipd import SLOPES_PC
from calibook.detectors.bad_pixels import BadPixels
from calibook.kernels.lines import HIGH, MEDIUM, Lines

HOOK = ("amplitude", "start", "decay")
"""Quantities of SlopesPC about the bent start of the medium line [ADU, pulses, pulses]."""


@dataclass(frozen=True)
class ScanLimits:
    """What a good pixel's lines look like.

    ratio: (low, high) of high over medium slope
    ratio_sigma: how many sigma it may lie from the median over the module's
        pixels, same cell; sigma is 1.4826 times the median absolute deviation
    slope: (low, high) of the high slope over that median
    deviation: largest scatter round a line, ADU
    """

    ratio: tuple[float, float] = (20.0, 60.0)
    ratio_sigma: float = 6.0
    slope: tuple[float, float] = (0.5, 2.0)
    deviation: float = 30.0


def scan_constants(
    lines: Lines, limits: ScanLimits | None = None, hook: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """SlopesPC (cell, 9 quantities, slow_scan, fast_scan) and BadPixelsPC (cell, slow_scan, fast_scan).

    hook: (cell, 3, slow_scan, fast_scan), amplitude, start and decay of the bent start of the
        medium line; 0 where it has none, and for None

    CI_EVAL_ERROR: no line. CI_GAIN_OF_OF_THRESHOLD: high slope or ratio of slopes
    out of limits. CI_LINEAR_DEVIATION: too much scatter round a line.
    """
    limits = limits or ScanLimits()
    slope, words = lines.slope, np.zeros(lines.slope[:, 0].shape, np.uint32)
    ratio = divided(slope[:, HIGH], slope[:, MEDIUM])
    known = np.isfinite(ratio)
    words[~known] |= np.uint32(BadPixels.CI_EVAL_ERROR)
    out = ~_within(ratio, *limits.ratio) | ~_within(
        slope[:, HIGH] / median_of_cells(slope[:, HIGH]), *limits.slope
    )
    distance = np.abs(ratio - median_of_cells(np.where(out, np.nan, ratio)))
    sigma = 1.4826 * median_of_cells(np.where(out, np.nan, distance))
    out |= ~(distance <= limits.ratio_sigma * sigma)
    words[known & out] |= np.uint32(BadPixels.CI_GAIN_OF_OF_THRESHOLD)
    scattered = (lines.deviation > limits.deviation).any(axis=1)
    words[known & scattered] |= np.uint32(BadPixels.CI_LINEAR_DEVIATION)
    bent = np.zeros((len(ratio), len(HOOK), *ratio.shape[1:])) if hook is None else hook
    quantities = {f"hook {name}": bent[:, i] for i, name in enumerate(HOOK)} | {
        f"{name} {what}": getattr(lines, field)[:, line]
        for line, name in ((HIGH, "high"), (MEDIUM, "medium"))
        for what, field in (("slope", "slope"), ("intercept", "intercept"), ("deviation", "deviation"))
    }
    return {"SlopesPC": np.stack([quantities[name] for name in SLOPES_PC], axis=1), "BadPixelsPC": words}


def ratio_error(lines: Lines) -> np.ndarray:
    """Standard deviation of the ratio of slopes: (cell, slow_scan, fast_scan)."""
    relative = divided(lines.slope_error, lines.slope)
    return divided(lines.slope[:, HIGH], lines.slope[:, MEDIUM]) * np.hypot(
        relative[:, HIGH], relative[:, MEDIUM]
    )


def _within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (values >= low) & (values <= high)
