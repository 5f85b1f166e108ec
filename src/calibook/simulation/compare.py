"""What was measured against what is true, in a few figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibook.simulation.truth import DetectorTruth, PhotonSums

STAGES = ("G0", "G1", "G2")


def compare_darks(
    truth: DetectorTruth,
    offset: np.ndarray,
    noise: np.ndarray,
    bad: np.ndarray,
    stages: Sequence[str] = STAGES,
) -> dict[str, float]:
    """Figures of a dark characterisation of one module.

    offset, noise: (cell, gain, slow_scan, fast_scan), ADU; not finite where not measured
    bad: integers, same shape; not 0 means bad
    stages: names of the gain stages

    Returns, for each stage S:
    `offset_bias_adu_S`: mean of measured - true over truly good pixels
    `noise_ratio_S`: median of measured / true over truly good pixels
    and over all pixels, cells and stages:
    `bad_pixel_precision`: share of truly bad among those called bad
    `bad_pixel_recall`: share of those called bad among truly bad
    A figure is NaN where there is nothing to take it from.
    """
    figures = {}
    found = called = truly = 0
    for stage, name in enumerate(stages):
        true_offset, true_noise, true_bad = truth.stage(stage)
        for array in (offset, noise, bad):
            if np.shape(array[:, stage]) != true_offset.shape:
                raise ValueError(f"measured {np.shape(array[:, stage])}, true {true_offset.shape}")
        truly_bad, called_bad = true_bad != 0, np.asarray(bad[:, stage]) != 0
        good = ~truly_bad & np.isfinite(offset[:, stage]) & np.isfinite(noise[:, stage])
        difference = offset[:, stage][good].astype("f8") - true_offset[good]
        ratio = noise[:, stage][good] / np.broadcast_to(true_noise, good.shape)[good]
        figures[f"offset_bias_adu_{name}"] = float(difference.mean()) if good.any() else np.nan
        figures[f"noise_ratio_{name}"] = float(np.median(ratio)) if good.any() else np.nan
        found += int(np.count_nonzero(truly_bad & called_bad))
        called += int(np.count_nonzero(called_bad))
        truly += int(np.count_nonzero(truly_bad))
    figures["bad_pixel_precision"] = _share(found, called)
    figures["bad_pixel_recall"] = _share(found, truly)
    return figures


def comparable_pixels(truth: DetectorTruth, photons: PhotonSums) -> np.ndarray:
    """Pixels whose photons can be told: good in all cells and stages, never saturated.

    bool (slow_scan, fast_scan)
    """
    return truth.good_pixels() & (photons.saturated == 0)


def compare_photons(
    true_sums: np.ndarray, measured_sums: np.ndarray, good: np.ndarray, stages: Sequence[str] = STAGES
) -> dict[str, float]:
    """Photon bias per stage: sum of measured / sum of true photons - 1.

    true_sums: (gain, slow_scan, fast_scan), `PhotonSums.photons`; modules may
        be stacked on a further axis: (gain, module, slow_scan, fast_scan)
    measured_sums: float, same shape: sum of corrected photons over the samples that
        have this stage's gain code
    good: bool, shape without the gain axis, see `comparable_pixels`
    stages: names of the gain stages

    Returns `photon_bias_S` for each stage S, NaN where there were no photons.
    """
    if np.shape(true_sums) != np.shape(measured_sums) or np.shape(good) != np.shape(true_sums)[1:]:
        shapes = [np.shape(array) for array in (true_sums, measured_sums, good)]
        raise ValueError(f"shapes of true and measured sums and of good pixels don't fit: {shapes}")
    figures = {}
    for name, true, measured in zip(stages, true_sums, measured_sums, strict=True):
        total = float(true[good].sum(dtype="f8"))
        figures[f"photon_bias_{name}"] = (
            float(measured[good].sum(dtype="f8")) / total - 1 if total else np.nan
        )
    return figures


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
