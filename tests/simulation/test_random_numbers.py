"""Random numbers of compiled loops against their distributions."""

from __future__ import annotations

from math import erfc, exp, lgamma, log, sqrt

import numpy as np
import pytest

from calibook.simulation.random_numbers import fill_normal, fill_poisson, fill_uniform, random_bits
from calibook.simulation.streams import Stream, states

N = 1_000_000


def state(number: int) -> np.uint64:
    return states(17, Stream.FRAMES, number, n=1)[0]


def test_generator_gives_the_published_sequence():
    """The test vector of SplitMix64's authors, seed 1234567."""
    at, found = np.uint64(1234567), []
    for _ in range(4):
        at, bits = random_bits(at)
        at = np.uint64(at)
        found.append(int(bits))
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]


def test_states_differ_and_do_not_depend_on_how_many():
    many = states(1, Stream.FRAMES, 2, 3, n=1000)
    assert len(np.unique(many)) == 1000
    np.testing.assert_array_equal(states(1, Stream.FRAMES, 2, 3, n=10), many[:10])
    for other in (states(2, Stream.FRAMES, 2, 3, n=1), states(1, Stream.SHIFTS, 2, 3, n=1)):
        assert other[0] != many[0]


def test_uniform_numbers():
    x = np.empty(N)
    fill_uniform(state(1), x)
    assert x.min() >= 0 and x.max() < 1
    counts = np.histogram(x, 100, (0, 1))[0]
    chi2 = ((counts - N / 100) ** 2 / (N / 100)).sum()
    assert abs(chi2 - 99) < 5 * sqrt(2 * 99)
    # Successive numbers know nothing of each other.
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 5 / sqrt(N)


def test_normal_numbers_out_to_the_tails():
    x = np.empty(N)
    fill_normal(state(2), x)
    assert abs(x.mean()) < 5 / sqrt(N)
    assert abs(x.var() - 1) < 5 * sqrt(2 / N)
    assert abs((x**3).mean()) < 5 * sqrt(15 / N)
    assert abs((x**4).mean() - 3) < 5 * sqrt(96 / N)
    # 3.654 is where the ziggurat's tail begins.
    for edge in (0.1, 0.5, 1, 2, 3, 3.654, 4):
        for beyond in (x > edge, x < -edge):
            share = erfc(edge / sqrt(2)) / 2
            assert abs(beyond.mean() - share) < 5 * sqrt(share / N)


# Around 10 the method changes.
@pytest.mark.parametrize("mean", [0.02, 0.7, 3.0, 9.99, 10.0, 40.0, 1e3, 1e5])
def test_poisson_numbers(mean):
    k = np.empty(N // 4, "i8")
    fill_poisson(state(3), mean, k)
    n = len(k)
    assert k.min() >= 0
    assert abs(k.mean() - mean) < 5 * sqrt(mean / n)
    assert abs(k.var() / mean - 1) < 5 * sqrt((2 + 1 / mean) / n)
    low, high = max(0, int(mean - 4 * sqrt(mean))), int(mean + 4 * sqrt(mean)) + 1
    expected = np.array([exp(i * log(mean) - mean - lgamma(i + 1)) for i in range(low, high + 1)]) * n
    found = np.bincount(k[(k >= low) & (k <= high)] - low, minlength=len(expected))
    enough = expected > 20
    chi2 = ((found - expected) ** 2 / expected)[enough].sum()
    assert abs(chi2 - enough.sum()) < 5 * sqrt(2 * enough.sum()) + 2


def test_no_light_no_photons():
    k = np.ones(10, "i8")
    fill_poisson(state(4), 0.0, k)
    assert not k.any()
