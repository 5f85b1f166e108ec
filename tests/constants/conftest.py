"""A small store, and what is needed to put a JUNGFRAU-like constant into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calibook.constants import Condition, Store

DIMS = ("fast_scan", "slow_scan", "cell", "gain")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def offset() -> np.ndarray:
    """A constant's array: f8 (fast_scan 16, slow_scan 8, cell 2, gain 3)."""
    return np.random.default_rng(1).normal(3000, 100, (16, 8, 2, 3))


@pytest.fixture
def facts() -> dict[str, Any]:
    """Arguments of `Store.put` besides the array."""
    return {
        "calibration": "Offset10Hz",
        "pdu": "Jungfrau_M035",
        "detector_type": "jungfrau-Type",
        "conditions": [
            Condition("Sensor Bias Voltage", 180),
            Condition("Integration Time", 10, 0.5, 0.25),
        ],
        "begin": "2026-11-22T18:07:13.532+00:00",
        "dims": DIMS,
    }


@pytest.fixture
def asked() -> dict[str, Any]:
    """Arguments of `Store.find` that find the constant of `facts`."""
    return {
        "calibration": "Offset10Hz",
        "pdu": "Jungfrau_M035",
        "conditions": {"Sensor Bias Voltage": 180, "Integration Time": 9.999999747},
        "at": "2026-11-23T00:00:00Z",
    }
