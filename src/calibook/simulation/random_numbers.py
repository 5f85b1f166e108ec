"""Random numbers inside compiled loops: uniform, normal and Poisson, from 64 bits of state.

The generator is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom
number generators, 2014): a counter in steps of an odd constant, mixed. Its
state is one integer which stays in a register, so that a loop over pixels
spends a few nanoseconds on a number. States to start from come from
`streams.states`; streams of 2^18 numbers that start at random places among
2^64 practically never meet.

Every function takes the state and returns (state, number).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = (np.uint64(n) for n in (11, 27, 30, 31))
_LAYER, _ONE = np.uint64(255), np.uint64(1)
_UNIT, _TWO_UNITS = 2.0**-53, 2.0**-52

# Ziggurat of Marsaglia and Tsang (2000) with 256 layers: where the tail begins, area of a layer.
_TAIL, _AREA = 3.6541528853610088, 0.00492867323399
# From this mean on Poisson numbers are found by rejection; below, no 53 bits could show larger ones
# than the most that are searched.
_REJECTION_FROM, _MOST_SEARCHED = 10.0, 63
_INVERSE = np.append(0.0, 1 / np.arange(1.0, _MOST_SEARCHED + 1))
_LOG_FACTORIAL = np.array([math.lgamma(k + 1.0) for k in range(1024)])


def _layers() -> np.ndarray:
    """Right edges of the ziggurat's layers, from the widest to 0: f8 (257,)."""
    edges = np.empty(257)
    edges[0] = _AREA / math.exp(-0.5 * _TAIL**2)
    edges[1] = _TAIL
    for i in range(2, 256):
        height = _AREA / edges[i - 1] + math.exp(-0.5 * edges[i - 1] ** 2)
        edges[i] = math.sqrt(-2 * math.log(height))
    edges[256] = 0
    return edges


_EDGES = _layers()
_HEIGHTS = np.exp(-0.5 * _EDGES**2)


@njit(nogil=True, cache=True, inline="always")
def random_bits(state):
    """64 random bits, u8."""
    state = state + _STEP
    z = (state ^ (state >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return state, z ^ (z >> _S31)


@njit(nogil=True, cache=True)
def uniform(state):
    """f8 in [0, 1)."""
    state, bits = random_bits(state)
    return state, np.float64(bits >> _S11) * _UNIT


@njit(nogil=True, cache=True)
def standard_normal(state):
    """f8, mean 0 and standard deviation 1."""
    state, bits = random_bits(state)
    layer = bits & _LAYER
    # In -1..1, the sign by arithmetic: a branch would be guessed wrong every other time.
    x = (np.float64(bits >> _S11) * _TWO_UNITS - 1.0) * _EDGES[layer]
    if abs(x) < _EDGES[layer + _ONE]:
        return state, x
    return _outside_of_layer(state, x, layer)


@njit(nogil=True, cache=True)
def _outside_of_layer(state, x, layer):
    """The one number in a hundred that needs more than a table."""
    while True:
        if layer == 0:
            state, distance = _tail(state)
            return state, distance if x > 0.0 else -distance
        state, u = uniform(state)
        low, high = _HEIGHTS[layer], _HEIGHTS[layer + _ONE]
        if low + u * (high - low) < math.exp(-0.5 * x * x):
            return state, x
        state, bits = random_bits(state)
        layer = bits & _LAYER
        x = (np.float64(bits >> _S11) * _TWO_UNITS - 1.0) * _EDGES[layer]
        if abs(x) < _EDGES[layer + _ONE]:
            return state, x


@njit(nogil=True, cache=True)
def _tail(state):
    """Beyond the ziggurat's base (Marsaglia 1964)."""
    while True:
        state, u = uniform(state)
        state, v = uniform(state)
        x = -math.log(1.0 - u) / _TAIL
        if -2.0 * math.log(1.0 - v) > x * x:
            return state, _TAIL + x


@njit(nogil=True, cache=True)
def poisson(state, mean):
    """i8, Poisson distributed around a mean >= 0."""
    if mean >= _REJECTION_FROM:
        return _poisson_by_rejection(state, mean)
    if mean <= 0.0:
        return state, np.int64(0)
    state, u = uniform(state)
    # exp(-mean) is at least 1 - mean: mostly no need of it for rare photons.
    if u < 1.0 - mean:
        return state, np.int64(0)
    return state, _poisson_by_search(u, mean)


@njit(nogil=True, cache=True)
def _poisson_by_search(u, mean):
    """The number at which the sum of probabilities, from 0 on, exceeds u."""
    probability = math.exp(-mean)
    total, k = probability, np.int64(0)
    while u >= total and k < _MOST_SEARCHED:
        k += 1
        probability *= mean * _INVERSE[k]
        total += probability
    return k


@njit(nogil=True, cache=True)
def _poisson_by_rejection(state, mean):
    """Transformed rejection (Hoermann: The transformed rejection method, 1993, algorithm PTRS)."""
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    while True:
        state, u = uniform(state)
        state, v = uniform(state)
        u -= 0.5
        us = 0.5 - abs(u)
        if us <= 0.0:
            continue
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2.0):
            return state, np.int64(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        n = np.int64(k)
        log_factorial = _LOG_FACTORIAL[n] if n < _LOG_FACTORIAL.size else math.lgamma(k + 1.0)
        bound = k * math.log(mean) - mean - log_factorial
        if math.log(v * (1.1239 + 1.1328 / (b - 3.4)) / (a / (us * us) + b)) <= bound:
            return state, np.int64(k)


@njit(nogil=True, cache=True)
def fill_normal(state, out):
    """Fill an f8 array (n,) with standard normal numbers."""
    for i in range(out.size):
        state, out[i] = standard_normal(state)


@njit(nogil=True, cache=True)
def fill_uniform(state, out):
    """Fill an f8 array (n,) with uniform numbers."""
    for i in range(out.size):
        state, out[i] = uniform(state)


@njit(nogil=True, cache=True)
def fill_poisson(state, mean, out):
    """Fill an i8 array (n,) with Poisson numbers of one mean."""
    for i in range(out.size):
        state, out[i] = poisson(state, mean)
