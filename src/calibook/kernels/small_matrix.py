"""Linear algebra of a few unknowns inside compiled loops over pixels."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def cholesky(matrix, lower):
    """Factor a symmetric matrix (n, n) into lower @ lower.T; False if it is not positive."""
    n = matrix.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                if not total > 0:
                    return False
                lower[i, i] = np.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    return True


@njit(nogil=True, cache=True)
def solve(lower, right, result):
    """result such that lower @ lower.T @ result = right; all f8, result (n,)."""
    n = right.size
    for i in range(n):
        total = right[i]
        for k in range(i):
            total -= lower[i, k] * result[k]
        result[i] = total / lower[i, i]
    for i in range(n - 1, -1, -1):
        total = result[i]
        for k in range(i + 1, n):
            total -= lower[k, i] * result[k]
        result[i] = total / lower[i, i]
