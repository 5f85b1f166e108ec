"""Pictures of AGIPD's correction."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from calibook.calibration.plots import middle


def show_module(pictures: Mapping[str, np.ndarray], title: str) -> None:
    """Pictures of one module below each other, slow_scan to the right, each with a colour scale of its own.

    pictures: {label of the colour bar: (slow_scan, fast_scan)}
    """
    figure, axes = plt.subplots(len(pictures), 1, figsize=(6.7, 0.4 + 1.7 * len(pictures)), sharex=True)
    for ax, (label, image) in zip(np.atleast_1d(axes), pictures.items(), strict=True):
        low, high = middle([image], log=False)
        shown = ax.imshow(image.T, vmin=low, vmax=high, origin="lower")
        ax.set(ylabel="fast scan")
        figure.colorbar(shown, ax=ax, label=label, pad=0.01)
    ax.set(xlabel="slow scan [pixel]")
    figure.suptitle(title)
    plt.show()
