"""Choices for one sample that the compiler can make for several at once."""

from __future__ import annotations

import numpy as np
from numba import njit

LARGEST = np.float32(np.finfo(np.float32).max)
NAN = np.float32(np.nan)


def one_nan(value: float) -> np.float32:
    """A setting for kernels; if it is no number, it has the bits of `hide`'s NaN."""
    return NAN if np.isnan(value) else np.float32(value)


@njit(nogil=True, cache=True)
def of_stage(g, first, second, third):
    """The value of gain code or stage `g`. Two steps, not one nested choice: that one the compiler
    turns into a choice of addresses, and then fetches pixel by pixel."""
    value = second if g > 0 else first
    return third if g > 1 else value


@njit(nogil=True, cache=True, inline="always")
def choose(second_at_least, third_at_least, first, second, third):
    """As `of_stage`, for a stage that is two comparisons, the one of the third stage implying the other."""
    value = second if second_at_least else first
    return third if third_at_least else value


@njit(nogil=True, cache=True)
def hide(signal, word, nan_mask):
    """NaN for what isn't wanted, and one NaN for all of them: the processor's own differ by machine."""
    return NAN if ((word & nan_mask) != 0) | (signal != signal) else signal
