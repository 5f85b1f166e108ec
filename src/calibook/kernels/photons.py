"""Whole photons from a signal in photons."""

from __future__ import annotations

import numpy as np
from numba import njit

from calibook.errors import BadParameter


def round_photons(data: np.ndarray, threshold: float = 0.5) -> None:
    """Round to whole photons in place: n = floor(x + 1 - threshold), at least 0.

    data: f4, any shape, C-contiguous, photons; NaN stays NaN
    threshold: from which fraction on a photon counts, 0 to 1. A higher one
        gives fewer false photons where few are expected.

    Raises BadParameter for a threshold outside 0..1.
    """
    if not 0 <= threshold <= 1:
        raise BadParameter(f"rounding threshold is {threshold}, needs 0 to 1")
    if data.dtype != np.float32 or not data.flags.c_contiguous:
        raise ValueError(f"data has dtype {data.dtype}, needs C-contiguous float32")
    _round(data.reshape(-1), np.float32(threshold))


@njit(nogil=True, cache=True)
def _round(data, threshold):
    # x + 1 - threshold rounds up just below a half; x - floor(x) is exact.
    for i in range(data.size):
        whole = np.floor(data[i])
        n = whole + (np.float32(1) if data[i] - whole >= threshold else np.float32(0))
        data[i] = np.float32(0) if n <= 0 else n
