"""Arrays are checked before compiled code sees them: it would read past an end without a word."""

from __future__ import annotations

import numpy as np

from calibook.errors import BadParameter


def check_array(name: str, array: np.ndarray, dtype: str, shape: tuple[int, ...]) -> None:
    """ValueError unless `array` is C-contiguous with this dtype and shape; it says what was wrong."""
    if array.dtype != np.dtype(dtype):
        raise ValueError(f"{name} has dtype {array.dtype}, needs {np.dtype(dtype)}")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, needs {shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous; pass np.ascontiguousarray(...)")


def check_images(data: np.ndarray, gain: np.ndarray, mask: np.ndarray) -> None:
    """ValueError unless they are f4, u1, u4 of the same shape (frame, slow_scan, fast_scan)."""
    if data.ndim != 3:
        raise ValueError(f"data has shape {data.shape}, needs (frame, slow_scan, fast_scan)")
    for name, array, dtype in (("data", data, "f4"), ("gain", gain, "u1"), ("mask", mask, "u4")):
        check_array(name, array, dtype, data.shape)


def check_blocks(block: tuple[int, int], frame: tuple[int, int], most_pixels: int | None = None) -> None:
    """BadParameter unless blocks tile a frame and have no more than `most_pixels`.

    block, frame: (slow_scan, fast_scan)
    """
    slow, fast = block
    tile = slow > 0 and fast > 0 and frame[0] % slow == 0 and frame[1] % fast == 0
    if not tile or (most_pixels is not None and slow * fast > most_pixels):
        limit = "" if most_pixels is None else f", of at most {most_pixels} pixels"
        raise BadParameter(
            f"blocks of {slow} x {fast} pixels: needs some that tile a frame of "
            f"{frame[0]} x {frame[1]}{limit}"
        )
