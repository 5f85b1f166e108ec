"""No text of a picture is cut off: axes have places of their own, and nothing is cropped or moved to fit."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from calibook.calibration.agipd.plots import plot_cells, plot_planes, show_module, show_table
from calibook.calibration.summaries import gain_plots, plots
from calibook.detectors.agipd import AGIPD, SLOPES_PC
from calibook.detectors.jungfrau import JUNGFRAU

RNG = np.random.default_rng(1)
SCALES = [-7.5e-4, -2e-7, 3.0, 4e5, 8e9]  # the longest numbers, and those with a power of ten
TABLE = RNG.random((128, 300))
FITS = {
    "sample_titles": [f"cell {n}, row 12, column 33" for n in range(5)],
    "sample_counts": RNG.integers(0, 3000, (5, 100)),
    "sample_expected": RNG.random((5, 100)) * 1000,
    "centres": np.arange(100.0),
}
SCANS = {
    "sample_titles": FITS["sample_titles"][:4],
    "sample_pulses": np.tile(np.arange(200), (4, 1)),
    "sample_signal": 9000 * RNG.random((4, 200)),
    "sample_lines": np.ones((4, len(SLOPES_PC))),
}


@pytest.fixture
def pictures(monkeypatch):
    """Figures that were shown."""
    plt.switch_backend("agg")
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    with plt.rc_context():
        plots.use_style()
        yield shown
    plt.close("all")


def whole(pictures):
    """Whether everything lies in its figure; a hundredth of an inch is a pixel."""
    for figure in pictures:
        figure.draw_without_rendering()  # where matplotlib finds the places it does so now
        seen, size = figure.get_tightbbox(), figure.get_size_inches()
        assert (seen.min >= -0.02).all(), f"{figure.get_axes()[0].get_xlabel()}: begins at {seen.min}"
        assert (seen.max <= size + 0.02).all(), f"ends at {seen.max} of {size}"
        assert size[0] < plots.WIDTH + 0.01
        plt.close(figure)
    return len(pictures)


@pytest.mark.parametrize("scale", SCALES)
def test_lines_and_tables(pictures, scale):
    for modules in (1, 3, 40):
        lines = {f"AGIPD{n:02}-S00000": scale * RNG.random(64) for n in range(modules)}
        plots.plot_lines(lines, "memory cell", "offset [ADU]")
        plots.plot_distributions(lines, "noise of good pixels in high gain [ADU]")
        plot_cells({name: (np.arange(64), line) for name, line in lines.items()}, "mean signal [keV]")
    show_table(scale * TABLE, "train", "module, 16 ASICs of each", "common mode [ADU]", groups=range(8))
    show_table(scale * TABLE, "memory cell", "train", "mean signal [keV]", np.arange(300))
    show_module({"first frame, raw [ADU]": scale * TABLE.T, "error [%]": scale * TABLE.T}, "AGIPD00-S00000")
    assert whole(pictures) == 12


@pytest.mark.parametrize("most", [3, 30_000, 10**9])
def test_counts(pictures, most):
    counts = RNG.integers(most // 2, most, 100)
    plots.plot_histograms(np.linspace(-1e6, 1e6, 101), {"G0": counts, "G1": counts}, "signal [keV]")
    plots.plot_bars({"a": {"OFFSET_OUT_OF_THRESHOLD": 1, **dict.fromkeys("bcd", most)}}, "share", log=True)
    plot_planes(RNG.integers(most // 2, most, (160, 160)))
    assert whole(pictures) == 3


def test_fits(pictures):
    gain_plots.plot_spectra(FITS, "AGIPD00")
    gain_plots.plot_scans(SCANS, "AGIPD00")
    assert whole(pictures) == 2


@pytest.mark.parametrize(
    ("detector", "modules", "scale"),
    [(AGIPD, 1, SCALES[0]), (AGIPD, 16, SCALES[1]), (JUNGFRAU, 1, SCALES[3]), (JUNGFRAU, 8, SCALES[0])],
)
def test_detectors(pictures, detector, modules, scale):
    numbers = range(detector.first_module, detector.first_module + modules)
    images = {n: scale * RNG.random(detector.module_shape, np.float32) for n in numbers}
    high = {n: 14_000 + 400 * image / scale for n, image in images.items()}
    for count in (1, 3):
        titles = {f"gain stage {title}": images for title in detector.gain_stages[:count]}
        plots.show_detector(detector, titles, "bad pixels of all [%]", log=scale > 0)
        plots.show_maps(detector, titles, "offset change [ADU]")
        plots.show_maps(detector, dict.fromkeys(titles, high), "offset [ADU]")
    assert whole(pictures) == 6
