"""Frames and constants to work on, from a seed."""

from __future__ import annotations

import numpy as np

SLOW, FAST = 512, 1024
AGIPD_SHAPE = (512, 128)


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


def agipd_frames(cells: int, trains: int, seed: int = 3) -> dict[str, np.ndarray]:
    """Raw u2 (frame, 2, pixel), cells of a train in turn: 1 % of the samples in medium or low gain."""
    rng = np.random.default_rng(seed)
    shape = (cells * trains, AGIPD_SHAPE[0] * AGIPD_SHAPE[1])
    raw = np.empty((shape[0], 2, shape[1]), np.uint16)
    raw[:, 0] = rng.integers(4000, 12000, shape, dtype=np.uint16)
    raw[:, 1] = rng.choice(np.array([5000, 7200, 9000], np.uint16), shape, p=[0.99, 0.007, 0.003])
    return {"raw": raw, "cell": np.tile(np.arange(cells), trains)}


def agipd_dark_frames(cells: int, trains: int, offset: np.ndarray, seed: int = 5) -> dict[str, np.ndarray]:
    """As `agipd_frames`, with signals near the offset of their stage, each frame shifted by some ADU."""
    rng = np.random.default_rng(seed)
    frames = agipd_frames(cells, trains, seed)
    raw, cell = frames["raw"], frames["cell"]
    noise = rng.normal(0, 8, raw.shape[2]).astype(np.float32)
    for n, c in enumerate(cell):
        stage = (raw[n, 1] > 6000).astype(np.uint8) + (raw[n, 1] > 8000)
        signal = np.choose(stage, offset[c].reshape(3, -1)) + np.roll(noise, 4001 * n) + rng.normal(0, 10)
        # True medium and low signals lie far above what the rules forbid; a tenth of them is false.
        signal[stage > 0] += np.where(rng.random(int((stage > 0).sum())) < 0.9, 2500, 0)
        raw[n, 0] = np.rint(signal)
    return frames


def agipd_constants(cells: int, seed: int = 4) -> dict[str, np.ndarray]:
    """Offset, relative gain f4, thresholds f4 and bad pixels u4, axes (cell, gain, slow_scan, fast_scan)."""
    rng = np.random.default_rng(seed)
    shape = (cells, 3, *AGIPD_SHAPE)
    levels = np.array([4200.0, 5300.0, 5600.0]).reshape(1, 3, 1, 1)
    ratios = np.array([1.0, 45.0, 250.0]).reshape(1, 3, 1, 1)
    return {
        "offset": (levels + rng.normal(0, 100, shape)).astype(np.float32),
        "relative": (ratios * rng.normal(1, 0.03, shape)).astype(np.float32),
        "thresholds": np.stack([np.full(shape[:1] + shape[2:], t, np.float32) for t in (6000, 8000)], axis=1),
        "bad_pixels": (rng.random(shape) < 0.01).astype(np.uint32),
    }
