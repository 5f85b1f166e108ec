"""What the flat field of an AGIPD module leaves for the summary, its figures, and how true it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibook.calibration.agipd.flatfield import FlatField
from calibook.calibration.agipd.spectra import ModuleFlatField, PeakOptions
from calibook.calibration.summaries.figures import Results
from calibook.calibration.summaries.gains import (
    bit_counts,
    change_figures,
    gain_change,
    gain_truth,
    largest,
    mean,
    pick_pixels,
    true_module,
)
from calibook.detectors.bad_pixels import BadPixels
from calibook.kernels.peaks import expected_counts
from calibook.procedures.tasks import Task
from calibook.reports.verdict import Figure

FLAT_FIELD_GOALS = {
    "gain_bias": (-3e-3, 3e-3),
    "gain_failed": (None, 0.01),
    "gain_pull_width": (0.9, 1.1),
}
_BITS = (BadPixels.FF_NO_ENTRIES, BadPixels.FF_GAIN_EVAL_ERROR, BadPixels.FF_GAIN_DEVIATION)


def flat_field_results(
    task: Task, found: ModuleFlatField, options: PeakOptions, previous: np.ndarray | None = None
) -> dict[str, Any]:
    """Results of one module, by name; a cell is a memory cell, or all of them together.

    previous: SlopesFF before these, (cell, 1, slow_scan, fast_scan); None if there are none

    gain, gain_error: f4 (slow_scan, fast_scan), ADU/keV, bad: u4 likewise, of the first cell
        that has frames
    frames: i8 (cell,); bad_share: f8 (cell,); bit_counts: i8 (1, 32), over all cells
    typical_*: f8 (cell,), see `agipd.spectra.typical_values`
    cut_names: (cut,); cuts: i8 (cut, cell), pixels that each cut took
    sample_titles, sample_counts, sample_expected: (sample,), (sample, bin) twice: spectra
        of some pixels with what their fits expect; centres: (bin,), ADU
    change, typical_change: if there are previous gains, see `gain_change`
    """
    flat = found.flat
    shown = int(np.argmax(found.frames > 0))
    good = flat.bad == 0
    return {
        "module": task.about["module"],
        "unit": task.about["unit"],
        "frames": found.frames,
        "gain": flat.gain[shown],
        "gain_error": flat.gain_error[shown],
        "bad": flat.bad[shown],
        "bad_share": 1.0 - good.mean(axis=(1, 2)),
        "bit_counts": bit_counts(flat.bad),
        **{f"typical_{name}": values for name, values in found.typical.items()},
        "cut_names": np.array(list(flat.cuts)),
        "cuts": np.stack(list(flat.cuts.values())),
        **_samples(found, shown, options),
        **({} if previous is None else gain_change(flat.gain, previous[:, 0], flat.bad, shown)),
    }


def _samples(found: ModuleFlatField, shown: int, options: PeakOptions) -> dict[str, Any]:
    picked = pick_pixels(found.flat.gain[shown], found.flat.bad[shown], _BITS)
    expected = [
        expected_counts(found.spectra, found.fits, 0, pixel, options.model) for pixel in picked.values()
    ]
    return {
        "sample_titles": np.array(list(picked)),
        "sample_counts": found.spectra.counts[0, list(picked.values()), 1:-1],
        "sample_expected": np.stack(expected),
        "centres": found.spectra.centres,
    }


def flat_field_truth(in_folder: str, run: int, task: Task, flat: FlatField) -> dict[str, float]:
    """Figures of one module, {"truth_" + name: value}; empty if there is no truth."""
    truth = true_module(in_folder, run, task)
    if truth is None:
        return {}
    true = truth.gain(0)
    if len(flat.gain) == 1:
        true = true.mean(axis=0, keepdims=True)
    return gain_truth("gain", truth, true, flat.gain, flat.gain_error, flat.bad, truth.bad_with_photons())


def cut_rows(results: Results) -> list[dict[str, Any]]:
    """Rows of a table: share of the pixels, over all memory cells, that each quality cut took."""
    rows = []
    for name, result in results.items():
        shares = result["cuts"].sum(axis=1) / (result["bad"].size * len(result["frames"]))
        cuts = zip(result["cut_names"].tolist(), shares.tolist(), strict=True)
        rows.append({"module": name, **{cut: f"{share:.3%}" for cut, share in cuts}})
    return rows


def flat_field_figures(results: Results) -> list[Figure]:
    """Figures over all modules: {task name: `flat_field_results`}."""
    every = list(results.values())

    def of(name: str) -> np.ndarray:
        return np.concatenate([r[f"typical_{name}"] for r in every])

    error, spread = (largest(of(name) / of("gain")) for name in ("error", "spread"))
    bad, gain = float(np.mean([r["bad_share"].mean() for r in every])), mean(of("gain"))
    empty = sum(int((r["bad_share"] == 1).sum()) for r in every)
    worst = "worst module and cell"
    return [
        Figure("frames_used", min(int(r["frames"].min()) for r in every), "", f"frames, {worst}"),
        Figure("photons", -largest(-of("photons")), "", f"photons of a pixel, {worst}", warn=(300, None)),
        Figure("gain", gain, "ADU/keV", "median gain of good pixels"),
        Figure("gain_spread", spread, "", f"spread of good pixels' gains, {worst}", warn=(None, 0.1)),
        Figure(
            "gain_error", error, "", f"median error of a pixel's gain, relative, {worst}",
            warn=(None, 0.02), fail=(None, 0.1),
        ),
        Figure("peak_width", largest(of("width")), "ADU", f"median width of the peaks, {worst}"),
        Figure(
            "deviance", largest(of("deviance")), "", f"median deviance per degree of freedom, {worst}",
            warn=(0.5, 1.5), fail=(None, 3.0),
        ),
        Figure("cells_without_gain", empty, "", "memory cells without any good pixel", warn=(None, 0)),
        Figure("bad_pixels", bad, "", "bad pixels, of all", warn=(None, 0.1), fail=(None, 0.5)),
        *change_figures("gain", results, 0.02),
    ]  # fmt: skip
