"""Arrays are checked before compiled code sees them: it would read past an end without a word."""

from __future__ import annotations

import numpy as np


def check_array(name: str, array: np.ndarray, dtype: str, shape: tuple[int, ...]) -> None:
    """ValueError unless `array` is C-contiguous with this dtype and shape; it says what was wrong."""
    if array.dtype != np.dtype(dtype):
        raise ValueError(f"{name} has dtype {array.dtype}, needs {np.dtype(dtype)}")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, needs {shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous; pass np.ascontiguousarray(...)")
