"""A constant in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def statistics(array: np.ndarray, dims: Sequence[str]) -> list[dict[str, Any]]:
    """Numbers of the whole array, or of each index on the axis `gain` if there are several.

    Each a dict: part, values, not_finite, zero (counts), and over the finite
    values minimum, mean, standard_deviation, maximum (None without any).
    """
    if "gain" not in dims or array.shape[dims.index("gain")] == 1:
        return [_statistics("all", array)]
    stages = np.moveaxis(array, dims.index("gain"), 0)
    return [_statistics(f"gain {i}", stage) for i, stage in enumerate(stages)]


def _statistics(part: str, array: np.ndarray) -> dict[str, Any]:
    finite = array[np.isfinite(array)].astype("f8")
    found: dict[str, Any] = {
        "part": part,
        "values": int(array.size),
        "not_finite": int(array.size - finite.size),
        "zero": int(np.count_nonzero(finite == 0)),
    }
    values = (finite.min(), finite.mean(), finite.std(), finite.max()) if finite.size else [None] * 4
    names = ("minimum", "mean", "standard_deviation", "maximum")
    return found | {n: None if v is None else float(v) for n, v in zip(names, values, strict=True)}
