"""Executed notebooks and report contents made without a kernel, as realistic as the tests need."""

import base64
import functools
import io
import itertools
import json
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Plot
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from calibook.reports.content import Chapter, ReportContent
from calibook.reports.verdict import Figure, Verdict

matplotlib.use("Agg")

STORY = r"""# Correction of JUNGFRAU

A word of the detector holds an **ADC value** $w$ and the gain stage $g \in \{0, 1, 2\}$. The energy in a
pixel is

$$E = \frac{w - o_{g,c}}{a_{g,c}} \, ,$$

with the offset $o_{g,c}$ [ADU] and the gain $a_{g,c}$ [ADU/keV] of memory cell $c$.

## Frames

* the mean over trains shows *static* structure;
* a single frame shows what the beam did.

| gain stage | offset [ADU] | gain [ADU/keV] |
|:-----------|-------------:|---------------:|
| high       |         2500 |           41.5 |
| medium     |        15000 |          -1.43 |
| low        |        14200 |         -0.108 |
"""


def png(plot: Plot, dpi: int = 100) -> str:
    """A plot as IPython stores it."""
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=dpi)
    return base64.b64encode(buffer.getvalue()).decode()


@functools.cache
def plots(seed: int = 0, count: int = 6) -> tuple[str, ...]:
    """Maps, histograms and curves, as in a correction's notebook."""
    random = np.random.default_rng(seed)
    return tuple(png(_plot(place, random)) for place in range(count))


def _plot(place: int, random: np.random.Generator) -> Plot:
    plot = Plot(figsize=(6.8, 3.6), layout="constrained")
    axes = plot.subplots()
    if place % 3 == 0:
        frame = random.normal(2500, 40, (256, 512)) + 300 * np.hypot(*np.mgrid[-1:1:256j, -1:1:512j])
        bar = plot.colorbar(axes.imshow(frame, aspect="auto", cmap="viridis"), ax=axes)
        bar.set_label("offset [ADU]")
        axes.set(title="Offset, gain stage high", xlabel="column [pixel]", ylabel="row [pixel]")
    elif place % 3 == 1:
        axes.hist(random.gamma(2, 4, 5000), 120, histtype="step", label="high")
        axes.hist(random.normal(30, 4, 2000), 120, histtype="step", label="medium", ls="--")
        axes.set(title="Energy per pixel", xlabel="energy [keV]", ylabel="pixels", yscale="log")
        axes.legend()
    else:
        axes.errorbar(np.arange(16), random.normal(3, 0.1, 16), 0.1, fmt="o")
        axes.set(title="Noise by memory cell", xlabel="memory cell", ylabel="noise [ADU]")
    return plot


def picture_cell(content: str, source: str = "show(frame)", **metadata):
    """A code cell with a plot as output."""
    output = new_output("display_data", data={"image/png": content, "text/plain": "<Figure>"})
    return new_code_cell(source, outputs=[output], metadata=metadata, execution_count=3)


def frame_cell(frame: pd.DataFrame):
    """A code cell that ends in a table."""
    data = {"text/html": frame.to_html(), "text/plain": str(frame)}
    return new_code_cell("table", outputs=[new_output("execute_result", data=data)], execution_count=4)


def stream_cell(text: str, name: str = "stdout", source: str = "print(log)"):
    """A code cell that printed something."""
    return new_code_cell(source, outputs=[new_output("stream", name=name, text=text)], execution_count=5)


def usual_notebook(seed: int = 0) -> nbformat.NotebookNode:
    """What a correction task leaves: story, parameters, six plots with their names, a table, lines of log."""
    table = pd.DataFrame(
        {"pixels": [12, 345, 6], "share [%]": [0.0012, 0.0345, 0.0006]},
        index=["OFFSET_OUT_OF_THRESHOLD", "NOISE_OUT_OF_THRESHOLD", "NO_DARK_DATA"],
    )
    shown = [
        (new_markdown_cell(f"Picture {number} is of one module."), picture_cell(content))
        for number, content in enumerate(plots(seed))
    ]
    cells = [
        new_markdown_cell(STORY),
        new_code_cell("run: int = 4  # run number; required", metadata={"tags": ["parameters"]}),
        *itertools.chain(*shown[:4]),
        new_markdown_cell("## Bad pixels\n\nCounted by named bit, see `BadPixels`."),
        frame_cell(table),
        *itertools.chain(*shown[4:]),
        new_markdown_cell("## Timing"),
        stream_cell("read 200 trains in 0.82 s\ncorrected 3200 frames in 1.37 s (2.4 GB/s)\n"),
        stream_cell("UserWarning: hidden from the PDF ✓\n", "stderr"),
    ]
    metadata = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    return new_notebook(cells=cells, metadata=metadata)


def save(notebook: nbformat.NotebookNode, path: Path) -> Path:
    """Write a notebook."""
    path.write_text(json.dumps(notebook))  # ASCII: may hold half a surrogate pair
    return path


def verdict(worst: str = "warn") -> Verdict:
    """Eight figures; the worst of them is `worst`."""
    noise = {"pass": 2.91, "warn": 3.4, "fail": 9.0}[worst]
    small = (-1e-3, 1e-3)
    limited = [
        Figure(
            "offset_bias",
            0.031,
            "ADU",
            "mean distance of the offset from the truth",
            (None, 0.1),
            (None, 0.5),
        ),
        Figure("noise_median", noise, "ADU", "median noise, gain stage high", (2.0, 3.2), (1.0, 6.0)),
        Figure(
            "photon_bias_high",
            -0.00021,
            "",
            "relative, photons of gain stage high",
            (-1e-3, 1e-3),
            (-0.01, 0.01),
        ),
        Figure("photon_bias_low", 1.2e-5, "", "relative, gain stage low", small, (-0.01, 0.01)),
        Figure("bad_pixel_share", 0.43, "%", "pixels that any bit marks as bad", (None, 1), (None, 5)),
        Figure("common_mode_spread", 0.82, "ADU", "spread over trains", (None, 2), (None, 10)),
        Figure("trains_complete", 99.5, "%", "trains in which all modules have data", (99, None), (90, None)),
        Figure("trains", 1000, "", "trains corrected"),
    ]
    return Verdict(limited)


def constants(modules: int = 2) -> list[dict]:
    """Constants of some modules, with all the keys that a store knows."""
    return [
        {
            "calibration": calibration,
            "pdu": f"Jungfrau_M{275 + module}",
            "karabo_da": f"JNGFR{module + 1:02}",
            "id": 1000 + 10 * module + place,
            "begin": f"2024-03-0{module % 8 + 1}T12:00:00.000000+00:00",
            "end": None,
            "blake3": f"{place}{module}" * 32,
        }
        for module in range(modules)
        for place, calibration in enumerate(
            ["Offset10Hz", "Noise10Hz", "BadPixelsDark10Hz", "RelativeGain10Hz", "BadPixelsFF10Hz"]
        )
    ]


def content(folder: Path, tasks: int = 1, modules: int = 2, **changed) -> ReportContent:
    """A report of a summary and some tasks; `changed` replaces fields."""
    usual = save(usual_notebook(), folder / "usual.ipynb")
    chapters = [Chapter("Summary", usual, "summary")]
    chapters += [Chapter(f"JNGFR{n % 8 + 1:02}, sequence {n // 8}", usual, "task") for n in range(tasks)]
    fields = {
        "title": "JUNGFRAU correction, run 4",
        "subtitle": "SPB_IRDA_JF4M, proposal 900000, 2 modules",
        "facts": {
            "Detector": "SPB_IRDA_JF4M",
            "Run": "4",
            "Started": "2024-03-02 09:14:07",
            "Trains": "1000",
            "Memory cells": "16",
            "Raw data": "/gpfs/exfel/exp/SPB/202401/p900000/raw/r0004",
            "Corrected data": "/gpfs/exfel/exp/SPB/202401/p900000/proc/r0004",
        },
        "conditions": {
            "Bias voltage [V]": 90.0,
            "Integration time [µs]": 10.0,
            "Gain setting": "adaptive",
            "Gain mode": "0",
            "Sensor temperature [K]": 291.0,
            "Photon energy [keV]": 9.3,
        },
        "constants": constants(modules),
        "verdict": verdict(),
        "unusual": [("JNGFR02-S00001", "retried", "out of memory at 4 GB; done with 8 GB")],
        "chapters": chapters,
        "software": {"calibook": "0.1", "numpy": "2.1", "python": "3.11"},
    }
    return ReportContent(**(fields | changed))
