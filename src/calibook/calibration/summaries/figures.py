"""Quality figures of the standard procedures, with the limits that make a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.procedures.tasks import Plan
from calibook.reports.verdict import Figure

Results = Mapping[str, Mapping[str, Any]]


def correction_figures(detector: Detector, plan: Plan, results: Results, started: str) -> list[Figure]:
    """Figures of a corrected run.

    results: of its tasks, {task name: what `correct_file` returned}
    started: ISO time of the run's first train
    """
    every = list(results.values())
    frames = sum(r["frames"] for r in every)
    samples = max(1, frames * detector.module_shape[0] * detector.module_shape[1])
    bits = sum(r["bit_counts"] for r in every)
    stages = sum(r["stage_counts"] for r in every)
    bad = sum(r["bad_fraction"] * r["frames"] for r in every) / max(1, frames)
    figures = [
        Figure("frames_corrected", frames, meaning="frames of single modules"),
        Figure(
            "bad_pixel_fraction",
            bad,
            meaning="samples that are masked, of all",
            warn=(None, 0.05),
            fail=(None, 0.5),
        ),
        # Where a plane of its own tells the stage there are no codes that can be wrong.
        *(
            []
            if detector.planes
            else [_bit_figure("wrong_gain_fraction", BadPixels.WRONG_GAIN_VALUE, bits, samples, (1e-3, 1e-1))]
        ),
        _bit_figure("out_of_range_fraction", BadPixels.VALUE_OUT_OF_RANGE, bits, samples, (1e-2, 0.5)),
        _bit_figure("not_a_number_fraction", BadPixels.VALUE_IS_NAN, bits, samples, (1e-2, 0.5)),
    ]
    figures += [
        Figure(f"fraction_{stage.lower()}", float(count) / samples, meaning=f"samples in gain stage {stage}")
        for stage, count in zip(detector.gain_stages, stages, strict=True)
    ]
    return [*figures, *_age_figures(plan, started), _agreement_figure(every)]


def _bit_figure(
    name: str, bit: BadPixels, counts: np.ndarray, samples: int, limits: tuple[float, float]
) -> Figure:
    share = float(counts[bit.bit_length() - 1]) / samples
    meaning = f"samples marked {bit.name}"
    return Figure(name, share, meaning=meaning, warn=(None, limits[0]), fail=(None, limits[1]))


def _age_figures(plan: Plan, started: str) -> list[Figure]:
    """How far in time the constants are from the data; offsets drift within weeks."""
    event = datetime.fromisoformat(started)
    days: dict[str, float] = {}
    for entry in plan.constants:
        age = (event - datetime.fromisoformat(entry["begin"])).total_seconds() / 86400
        name = entry["calibration"]
        days[name] = max(days.get(name, age), age, key=abs)
    return [
        Figure(
            f"age_{name.lower()}_days",
            value,
            "d",
            f"time from {name} to the data; negative: it was taken later",
            warn=(-30.0, 30.0) if name.startswith(("Offset", "BadPixelsDark")) else (None, None),
        )
        for name, value in days.items()
        if not name.startswith("Noise")
    ]


def _agreement_figure(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Modules of a run that saw different trains can't be combined there."""
    trains: dict[int, set[int]] = {}
    for result in results:
        trains.setdefault(result["module"], set()).update(int(t) for t in result["train_ids"])
    every = set().union(*trains.values()) if trains else set()
    complete = set.intersection(*trains.values()) if trains else set()
    return Figure(
        "trains_incomplete",
        len(every) - len(complete),
        meaning=f"trains that some module lacks, of {len(every)}",
        warn=(None, 0),
    )


def dark_figures(detector: Detector, results: Results) -> list[Figure]:
    """Figures of a dark characterisation, over all modules: {task name: `dark_results`}."""
    every = list(results.values())
    frames = min(int(r["frames"].min()) for r in every)
    figures = [
        Figure("frames_used", frames, meaning="frames per memory cell in the shortest run", warn=(50, None)),
    ]
    for s, stage in enumerate(detector.gain_stages):
        offset, noise = (
            np.concatenate([r[name][:, s] for r in every]) for name in ("good_offset", "good_noise")
        )
        name = stage.lower()
        bad = float(np.mean([r["bad_share"][:, s].mean() for r in every]))
        figures += [
            Figure(f"offset_{name}", float(np.nanmean(offset)), "ADU", "median offset of good pixels"),
            Figure(f"noise_{name}", float(np.nanmean(noise)), "ADU", "median noise of good pixels"),
            Figure(
                f"bad_pixels_{name}", bad, meaning="bad pixels, of all", warn=(None, 0.02), fail=(None, 0.2)
            ),
        ]
        wrong = [float(r["wrong_share"][s]) for r in every if "wrong_share" in r]
        if wrong:
            figures.append(
                Figure(
                    f"wrong_gain_{name}",
                    max(wrong),
                    meaning="samples in another gain stage, worst module",
                    warn=(None, 0.01),
                    fail=(None, 0.1),
                )
            )
        shifts = [r["offset_shift"][:, s] for r in every if "offset_shift" in r]
        if shifts:
            worst = max(np.concatenate(shifts), key=abs)
            figures.append(
                Figure(
                    f"offset_shift_{name}",
                    float(worst),
                    "ADU",
                    "median change since the previous constant, worst module and cell",
                    warn=(-50.0, 50.0),
                )
            )
    return figures
