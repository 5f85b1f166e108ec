"""Random numbers that depend on what they are for, not on the order of drawing.

Every detector module, train and pulse has a generator of its own, keyed by the
seed and by what it is drawn for. A train is therefore the same whether it is
simulated alone, in any block or on any thread.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What numbers are drawn for; the values must never change."""

    DETECTOR = 1  # then: module
    CELLS = 2  # then: module, number of cells
    DEFECTS = 3  # then: module
    PULSES = 4  # then: run, train
    FRAMES = 5  # then: run, module, train
    SHIFTS = 6  # then: run, module, train
    CHOICE = 7  # then: run, train


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """The generator of one thing. All numbers of the key are >= 0."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream, key)))


def states(seed: int, stream: Stream, *key: int, n: int) -> np.ndarray:
    """n states for `random_numbers` to start from: u8 (n,). The first do not depend on n."""
    return _sequence(seed, stream, key).generate_state(n, np.uint64)


def _sequence(seed: int, stream: Stream, key: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence((seed, int(stream), *key))


def bounded_normal(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Normal numbers kept within 3.5 sigma, f4.

    Good pixels vary, but none is so far out that it would rightly be called bad.
    """
    values = rng.standard_normal(shape, dtype=np.float32)
    return np.clip(values, -3.5, 3.5, out=values) * np.float32(sigma)
