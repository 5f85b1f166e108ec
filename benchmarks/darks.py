"""Mean, standard deviation and median of darks, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.roof import in_threads
from benchmarks.samples import FAST, SLOW
from benchmarks.timing import Comparison
from calibook.kernels.bisection import medians
from calibook.kernels.darks import DarkSums

FRAMES, PARTS, THREADS = 500, 16, 2


def comparisons() -> Iterator[Comparison]:
    """All comparisons of dark kernels: a module's run, in threads as a task has them."""
    pixels = SLOW * FAST
    adc = np.random.default_rng(3).integers(2800, 3000, (FRAMES, pixels), dtype=np.uint16)
    # As tasks read them: some pixels of all frames at a time.
    parts = [np.ascontiguousarray(part) for part in np.split(adc, PARTS, axis=1)]
    code, cell = np.zeros(parts[0].shape, np.uint8), np.zeros(FRAMES, np.int64)
    found: dict[int, tuple[np.ndarray, ...]] = {}

    def mean_std(some: slice) -> None:
        for number in range(PARTS)[some]:
            sums = DarkSums.zeros(1, pixels // PARTS)
            sums.accumulate(parts[number], code, cell, 0)
            found[number] = sums.mean_and_std()

    def median(some: slice) -> None:
        for number in range(PARTS)[some]:
            found[number] = (medians(parts[number], code, cell, 0, 1),)

    def check_mean_std() -> None:
        mean_std(slice(0, 1))
        mean, std = found[0]
        assert np.allclose(mean[0], parts[0].mean(0), rtol=1e-13)
        assert np.allclose(std[0], parts[0].std(0), rtol=1e-9)

    def check_median() -> None:
        median(slice(0, 1))
        assert np.array_equal(found[0][0][0], np.median(parts[0], 0))

    yield Comparison(
        "dark_mean_std_vs_numpy",
        "numpy mean and std of the module",
        in_threads(THREADS, mean_std, PARTS),
        lambda: (adc.mean(0), adc.std(0)),
        check_mean_std,
        3,
    )
    some = slice(0, 2)
    yield Comparison(
        "dark_median_vs_numpy",
        "numpy median, one thread",
        lambda: median(some),
        lambda: [np.median(part, 0) for part in parts[some]],
        check_median,
        3,
    )
