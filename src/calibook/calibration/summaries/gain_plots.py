"""Pictures of single pixels: spectra with their fits, scans with their lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from calibook.calibration.summaries.places import LEFT, RIGHT, WIDTH, axes_of
from calibook.calibration.summaries.plots import plot_lines, table_of
from calibook.detectors.agipd import SLOPES_PC


def plot_spectra(result: Mapping[str, Any], title: str) -> None:
    """Spectra of a module's sample pixels, and what their fits expect; see `flat_field_results`."""
    axes = _panels(len(result["sample_titles"]), title)
    centres = result["centres"]
    edges = np.append(centres, 2 * centres[-1] - centres[-2]) - (centres[1] - centres[0]) / 2
    for ax, name, counts, expected in zip(
        axes, result["sample_titles"], result["sample_counts"], result["sample_expected"], strict=True
    ):
        # A logarithmic axis has no place for zero: below its end it may be anything.
        ax.stairs(np.maximum(counts, 0.1), edges, label="counts", linewidth=0.8)
        if np.isfinite(expected).any():
            ax.plot(centres, expected, "--", label="fit", color="C3", linewidth=1.2)
        # Counts of nothing would pull the axis down to where nothing is to be seen.
        ax.set(yscale="log", ylim=(0.3, max(10.0, 2.0 * counts.max())))
        ax.set_title(str(name), fontsize=8)
        if not np.any(counts):
            ax.text(0.5, 0.5, "no counts", transform=ax.transAxes, ha="center", va="center")
    _finish(axes, "signal above the offset [ADU]", "counts per bin")


def plot_scans(result: Mapping[str, Any], title: str) -> None:
    """Scans of a module's sample pixels with the lines through them; see `scan_results`."""
    axes = _panels(len(result["sample_titles"]), title)
    for number, ax in enumerate(axes):
        pulses, signal = (result[f"sample_{name}"][number] for name in ("pulses", "signal"))
        there = pulses >= 0
        ax.plot(pulses[there], signal[there], ".", markersize=1.5, label="signal")
        lines = dict(zip(SLOPES_PC, result["sample_lines"][number].tolist(), strict=True))
        for line, style in (("high", "--"), ("medium", ":")):
            values = lines[f"{line} intercept"] + lines[f"{line} slope"] * pulses[there]
            if line == "medium":
                values = values + _hook(lines, pulses[there])
            seen = (values >= signal[there].min()) & (values <= signal[there].max())
            ax.plot(pulses[there][seen], values[seen], style, label=f"{line} gain", linewidth=1.2)
        ax.set_title(str(result["sample_titles"][number]), fontsize=8)
    _finish(axes, "pulses", "signal [ADU]")


def _hook(lines: Mapping[str, float], pulses: np.ndarray) -> np.ndarray:
    """What the hook adds to the medium line, from its start on [ADU]."""
    after = pulses - lines["hook start"]
    decay = lines["hook decay"] or 1.0  # without a hook its amplitude is 0, too
    return np.where(after >= 0, lines["hook amplitude"] * np.exp(-np.maximum(after, 0) / decay), 0.0)


def show_typical(results: Mapping[str, Mapping[str, Any]], units: Mapping[str, str]) -> Any:
    """Medians over good pixels: lines over memory cells; where all were counted together, a table.

    results: {task name: with "typical_*" (cell,)}
    units: {quantity to show: its unit}
    """
    labels = {name: f"{name.replace('_', ' ')} [{unit}]" if unit else name for name, unit in units.items()}
    if all(len(r[f"typical_{name}"]) == 1 for r in results.values() for name in units):
        rows = [
            {"module": module, **{label: f"{r[f'typical_{name}'][0]:.4g}" for name, label in labels.items()}}
            for module, r in results.items()
        ]
        return table_of(rows, "module")
    for name, label in labels.items():
        plot_lines({module: r[f"typical_{name}"] for module, r in results.items()}, "memory cell", label)
    return None


def _panels(count: int, title: str) -> list[Any]:
    rows, between = max(1, -(-count // 2)), 0.7  # for numbers of five characters
    size = (WIDTH - LEFT - RIGHT - between) / 2, 1.25
    figure, axes = axes_of(size, rows, 2, gap=(between, 0.4), top=0.5, sharex=True)
    figure.suptitle(title, y=1 - 0.05 / figure.get_figheight())
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return list(axes.flat[:count])


def _finish(axes: list[Any], xlabel: str, ylabel: str) -> None:
    for ax in axes[-2:]:
        ax.set_xlabel(xlabel)
        ax.xaxis.set_tick_params(labelbottom=True)
    for ax in axes[::2]:
        ax.set_ylabel(ylabel)
    if axes:
        axes[0].legend(frameon=False, fontsize=7)
    plt.show()
