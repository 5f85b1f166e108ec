"""What is true about a simulated module and run, as far as all detectors have it in common.

Each detector has a module `<name>_truth` with its own classes, and names them
in `DETECTOR_TRUTH` and `PHOTON_TRUTH`: with these, files of truth are read.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

PIXEL = ("slow_scan", "fast_scan")


def stored(*dims: str, unit: str = "") -> dict[str, Any]:
    """Metadata of a field that truth files keep: the names of its axes and its unit."""
    return {"dims": dims, "unit": unit}


class DetectorTruth(Protocol):
    """What a perfect characterisation of one module would find."""

    def stage(self, stage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Dark (offset, noise, bad) of a gain stage: f4 ADU, f4 ADU, u4 bits, each
        (cell, slow_scan, fast_scan) or, where all cells are alike, with a first axis of 1."""

    def good_pixels(self) -> np.ndarray:
        """Pixels without any defect in any cell: bool (slow_scan, fast_scan)."""


class PhotonSums(Protocol):
    """True photons of one module over a run.

    photons: (gain, slow_scan, fast_scan), sum over the samples in that stage
    saturated: u4 (slow_scan, fast_scan), samples at either end of the ADC's range
    """

    photons: np.ndarray
    saturated: np.ndarray
