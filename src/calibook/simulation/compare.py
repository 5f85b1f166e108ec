"""What was measured against what is true, in a few figures."""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, sqrt

import numpy as np
from numba import vectorize

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


def compare_stages(true_stage: np.ndarray, measured_gain: np.ndarray, usable: np.ndarray) -> dict[str, float]:
    """Figure of the decision on gain stages, sample by sample.

    true_stage, measured_gain: integers (frame, slow_scan, fast_scan)
    usable: bool, broadcastable to it: samples that count, e.g. those of good pixels without snow

    Returns `wrong_stage`, the share of samples in a wrong stage; NaN if none counts.
    """
    counted = np.broadcast_to(usable, np.shape(true_stage))
    wrong = int(np.count_nonzero((np.asarray(true_stage) != measured_gain) & counted))
    return {"wrong_stage": _share(wrong, int(np.count_nonzero(counted)))}


def compare_counts(
    true_photons: np.ndarray, measured: np.ndarray, usable: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """Figures of counting single photons, sample by sample.

    true_photons: integers (frame, slow_scan, fast_scan), photons that hit
    measured: float, same shape: corrected data, in photons
    usable: bool, broadcastable to it: samples that count
    threshold: from how much of a photon on a sample counts as one

    Returns `false_photons`: share of samples without a photon that count as one or more,
    `lost_photons`: share of samples of one photon that count as none.
    """
    counted = np.broadcast_to(usable, np.shape(true_photons))
    seen = np.asarray(measured) >= threshold
    empty, single = (counted & (np.asarray(true_photons) == k) for k in (0, 1))
    return {
        "false_photons": _share(int((empty & seen).sum()), int(empty.sum())),
        "lost_photons": _share(int((single & ~seen).sum()), int(single.sum())),
    }


def expected_counts(
    true_photons: np.ndarray,
    charge: np.ndarray,
    noise: np.ndarray,
    usable: np.ndarray,
    threshold: float = 0.5,
) -> tuple[dict[str, float], dict[str, float]]:
    """What `compare_counts` finds on average when data is the true charge with its noise, and nothing else.

    charge: float, shape of true_photons, what the samples collected, in photons
    noise: float, same shape, standard deviation of the normal noise, in photons
    all else as there

    Returns its figures, and how many samples each is expected from.
    """
    counted = np.broadcast_to(usable, np.shape(true_photons))
    shares, events = {}, {}
    for name, photons, sign in (("false_photons", 0, 1.0), ("lost_photons", 1, -1.0)):
        where = counted & (np.asarray(true_photons) == photons)
        wrong = _normal_below(sign * (charge[where] - threshold) / noise[where].astype("f8"))
        events[name] = float(wrong.sum())
        shares[name] = events[name] / max(1, int(where.sum()))
    return shares, events


def compare_shifts(planted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Figure of a correction of common mode.

    planted, measured: float (frame, asic), ADU, shifts that were there and that were
        found; not finite where nothing was found, which leaves the whole shift

    Returns `shift_variance_left`: variance of planted - measured over that of planted;
    NaN if nothing was planted.
    """
    found = np.where(np.isfinite(measured), measured, 0.0)
    # A shift that never changes belongs to the offset.
    variances = [
        np.var(shifts.astype("f8"), axis=0).sum() for shifts in (planted - found, np.asarray(planted))
    ]
    return {"shift_variance_left": float(variances[0] / variances[1]) if variances[1] else np.nan}


def compare_gains(
    true_gain: np.ndarray, measured: np.ndarray, good: np.ndarray, error: np.ndarray | None = None
) -> dict[str, float]:
    """Figures of a gain characterisation.

    true_gain, measured: float, same shape, in the same unit; measured is not finite where
        it failed
    good: bool, same shape: pixels (and cells) that count
    error: estimated standard errors, same shape

    Returns `gain_bias`: mean of measured / true - 1, `gain_failed`: share of good ones
    without a gain, and, with `error`, `gain_pull_width`: standard deviation of
    (measured - true) / error, 1 for honest errors. NaN where there is nothing to take it from.
    """
    finite = np.isfinite(measured) & good
    true, found = (np.asarray(array)[finite].astype("f8") for array in (true_gain, measured))
    n = int(np.count_nonzero(good))
    figures = {
        "gain_bias": float((found / true).mean() - 1) if len(true) else np.nan,
        "gain_failed": _share(n - len(true), n),
    }
    if error is not None:
        pull = (found - true) / np.asarray(error)[finite]
        figures["gain_pull_width"] = float(pull.std()) if len(true) else np.nan
    return figures


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


@vectorize(cache=True)  # without types: loaded when a truth is there to compare with
def _normal_below(x):
    """Share of a standard normal distribution below x; the complement keeps small shares exact."""
    return 0.5 * erfc(-x / sqrt(2.0))
