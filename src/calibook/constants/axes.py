"""Order of a constant's axes: as stored (fast_scan first), as used by kernels (cell first)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibook.constants.entry import checked_dims
from calibook.errors import BadParameter

STORED_DIMS = ("fast_scan", "slow_scan", "cell", "gain")
USED_DIMS = ("cell", "gain", "slow_scan", "fast_scan")
_NEEDED = ("fast_scan", "slow_scan")
_ROWS = 8


def as_stored(
    array: np.ndarray, dims: Sequence[str], stored_dims: Sequence[str] = STORED_DIMS, dtype: str | None = None
) -> np.ndarray:
    """The array with its axes in the stored order; axes it lacks get length 1.

    dims: names of the array's axes; gain is stored as `quantity` where that is among stored_dims
    dtype: of the result; None for that of the array
    Returns a C-contiguous array with one axis per stored_dims.
    Raises BadParameter if the number of names is wrong or a name is unknown.
    """
    if "quantity" in stored_dims:
        dims = ["quantity" if name == "gain" else name for name in dims]
    return contiguous(_ordered(array, dims, stored_dims), dtype)


def as_used(array: np.ndarray, dims: Sequence[str]) -> np.ndarray:
    """The array as kernels take it: C-contiguous (cell, gain, slow_scan, fast_scan).

    Missing cell and gain axes get length 1; slow_scan and fast_scan must be there.
    An axis `quantity`, of constants that have several per pixel, takes the place of gain.
    """
    return contiguous(seen_as_used(array, dims))


def seen_as_used(array: np.ndarray, dims: Sequence[str]) -> np.ndarray:
    """The array as `as_used` gives it, but a view: nothing is copied, and values lie as they lay."""
    dims = ["gain" if name == "quantity" and "gain" not in dims else name for name in dims]
    missing = [name for name in _NEEDED if name not in dims]
    if missing:
        raise BadParameter(f"axes {', '.join(dims)}: the constant has no axis {' and '.join(missing)}")
    return _ordered(array, dims, USED_DIMS)


def _ordered(array: np.ndarray, dims: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    array = np.asarray(array)
    names = checked_dims(dims, array.shape)
    unknown = [name for name in names if name not in wanted]
    if unknown:
        raise BadParameter(f"axis {unknown[0]!r} is unknown; the axes are {', '.join(wanted)}")
    present = [name for name in wanted if name in names]
    ordered = array.transpose([names.index(name) for name in present])
    lacking = tuple(axis for axis, name in enumerate(wanted) if name not in names)
    return np.expand_dims(ordered, lacking)


def contiguous(ordered: np.ndarray, dtype: str | None = None) -> np.ndarray:
    """The array C-contiguous; if it has to be copied, that is done some rows at a time.

    A plain copy of an array with turned axes jumps through all of it for each row, and has
    lost what it fetched beside a value when the next row needs it.
    """
    if ordered.flags.c_contiguous or ordered.ndim < 2:
        return np.ascontiguousarray(ordered, dtype)
    copy = np.empty(ordered.shape, dtype or ordered.dtype)
    for row in range(0, ordered.shape[-2], _ROWS):
        copy[..., row : row + _ROWS, :] = ordered[..., row : row + _ROWS, :]
    return copy
