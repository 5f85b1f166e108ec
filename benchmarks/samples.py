"""Frames and constants to work on, from a seed."""

from __future__ import annotations

import numpy as np

SLOW, FAST = 512, 1024


def jungfrau_frames(frames: int, seed: int = 1) -> dict[str, np.ndarray]:
    """ADC u2 and code u1 (frame, pixel): 1 % of the samples in G1 or G2, memory cell 0."""
    rng = np.random.default_rng(seed)
    shape = (frames, SLOW * FAST)
    return {
        "adc": rng.integers(2000, 15000, shape, dtype=np.uint16),
        "code": rng.choice(np.array([0, 1, 3], np.uint8), shape, p=[0.99, 0.007, 0.003]),
        "cell": np.zeros(frames, np.int64),
    }


def jungfrau_constants(seed: int = 2) -> dict[str, np.ndarray]:
    """Offset, gain f8 and bad pixels u4, axes (cell 1, gain 3, slow_scan, fast_scan)."""
    rng = np.random.default_rng(seed)
    shape = (1, 3, SLOW, FAST)
    stage = np.array([2900.0, 14200.0, 14200.0]).reshape(1, 3, 1, 1)
    slope = np.array([41.5, -1.39, -0.11]).reshape(1, 3, 1, 1)
    return {
        "offset": stage + rng.normal(0, 100, shape),
        "gain": slope * rng.normal(1, 0.03, shape),
        "bad_pixels": (rng.random(shape) < 0.01).astype(np.uint32),
    }
