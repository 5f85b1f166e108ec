"""Calibration of X-ray pixel detectors, where the calibration is a notebook."""

__version__ = "0.1.0"
