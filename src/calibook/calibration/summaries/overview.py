"""Results of many files put together, module by module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibook.detectors.bad_pixels import INFORMATIONAL, BadPixels
from calibook.detectors.base import Detector

Result = Mapping[str, Any]
MANY_MODULES = 4
"""More than these have no column each."""


def by_module(results: Mapping[str, Result]) -> dict[int, list[Result]]:
    """{module: its results in the order of the sequences}"""
    modules: dict[int, list[Result]] = {}
    for result in sorted(results.values(), key=lambda r: (r["module"], r.get("sequence", 0))):
        modules.setdefault(result["module"], []).append(result)
    return modules


def combined(parts: Sequence[Result]) -> dict[str, Any]:
    """One module's files as if they were one: counts added, means weighted with frames.

    The single frame is that of the first file.
    """
    frames = np.array([part["frames"] for part in parts], float)
    weights = frames / max(1.0, frames.sum())
    return {
        "frames": int(frames.sum()),
        "mean": _weighted_mean([part["mean"] for part in parts], frames),
        "gain_mean": sum(w * part["gain_mean"] for w, part in zip(weights, parts, strict=True)),
        "single": parts[0]["single"],
        "any_bits": np.bitwise_or.reduce([part["any_bits"] for part in parts]),
        "bit_counts": sum(part["bit_counts"] for part in parts),
        "stage_counts": sum(part["stage_counts"] for part in parts),
        "histogram": sum(part["histogram"] for part in parts),
        "edges": parts[0]["edges"],
        "signals": np.concatenate([part["signals"] for part in parts]),
    }


def _weighted_mean(maps: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Mean of maps over those that have a value at the pixel; NaN where none has."""
    total, weight = np.zeros(maps[0].shape), np.zeros(maps[0].shape)
    for image, w in zip(maps, weights, strict=True):
        known = np.isfinite(image)
        total[known] += w * image[known]
        weight[known] += w
    with np.errstate(invalid="ignore"):
        return (total / weight).astype(np.float32)


def mask_map(words: np.ndarray) -> np.ndarray:
    """f4: 1 where a pixel is bad, 0.5 where its word has informational bits only, else 0."""
    bad = (words & ~np.uint32(INFORMATIONAL)) != 0
    return np.where(bad, 1.0, np.where(words != 0, 0.5, 0.0)).astype(np.float32)


def bad_pixel_table(modules: Mapping[int, Result], detector: Detector) -> list[dict[str, Any]]:
    """Rows {bit, one column per module}: share of samples with each bit that occurs.

    With more than MANY_MODULES: of all modules, and of the worst one.
    """
    pixels = detector.module_shape[0] * detector.module_shape[1]
    rows = []
    for bit in BadPixels:
        at = bit.bit_length() - 1
        shares = {n: float(m["bit_counts"][at]) / (m["frames"] * pixels) for n, m in modules.items()}
        if any(shares.values()):
            rows.append({"bit": bit.name, **_shares(shares, [m["frames"] for m in modules.values()])})
    return rows


def _shares(shares: Mapping[int, float], frames: Sequence[int]) -> dict[str, Any]:
    if len(shares) <= MANY_MODULES:
        return {f"module {module}": f"{share:.4%}" for module, share in shares.items()}
    worst = max(shares, key=lambda module: shares[module])
    mean = np.average(list(shares.values()), weights=frames)
    return {"all modules": f"{mean:.4%}", "worst module": worst, "there": f"{shares[worst]:.4%}"}


def stage_maps(
    results: Mapping[str, Result], quantity: str, detector: Detector, *, good_only: bool = False
) -> dict[str, dict[int, np.ndarray]]:
    """{gain stage: {module: map}} of a quantity with axes (gain, slow_scan, fast_scan).

    good_only: NaN where the result's "bad", with the same axes, isn't 0
    """
    return {
        stage: {
            r["module"]: np.where(r["bad"][s] == 0, r[quantity][s], np.nan) if good_only else r[quantity][s]
            for r in results.values()
        }
        for s, stage in enumerate(detector.gain_stages)
    }
