"""Run all benchmarks, print one table, write benchmarks/results.json.

With names of rooms (kernels, agipd, darks, files, fixed_costs, command) or of single figures only those
are run, and nothing is written.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from benchmarks import agipd, command, darks, files, fixed_costs, kernels
from benchmarks.picture import draw
from benchmarks.roof import bandwidth
from benchmarks.timing import Figure, compare
from calibook.files import write_json
from calibook.jobs.environment import cpus

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Measure, print, write."""
    console = Console()
    limits = {
        f"copy_{name}_{threads}t_GB_per_s": bandwidth(threads, non_temporal=name == "non_temporal") / 1e9
        for threads in (1, 2)
        for name in ("plain", "non_temporal")
    }
    for name, value in limits.items():
        console.print(f"  {name}: {value:.1f}")
    if len(sys.argv) > 1:
        _run_some(console, sys.argv[1:])
        return
    figures = []
    with tempfile.TemporaryDirectory(prefix="calibook-bench-", dir=Path.cwd()) as folder:
        # One after the other: each holds its arrays only while it is measured.
        rooms = (
            kernels.comparisons(),
            agipd.comparisons(),
            darks.comparisons(),
            files.comparisons(Path(folder)),
            fixed_costs.comparisons(Path(folder)),
            command.comparisons(Path(folder)),
        )
        for comparison in chain.from_iterable(rooms):
            figures.append(compare(comparison))
            console.print(f"  {figures[-1].name}: {figures[-1].median:.2f}")
        figures += fixed_costs.figures(Path(folder))
        stages = files.jungfrau_stages(Path(folder))
    console.print(_table(figures))
    write_json(
        RESULTS,
        {
            "ratios": {f.name: {"median": f.median, "min": f.min, "max": f.max, "n": f.n} for f in figures},
            "machine": {"cpus": cpus(), "machine": platform.machine(), "numpy": np.__version__},
            "limits": limits,
            "stages_ns_per_pixel": stages,
        },
    )
    draw(RESULTS, RESULTS.with_suffix(".svg"))
    console.print(f"written to {RESULTS}, with a picture beside it")


def _run_some(console: Console, names: list[str]) -> None:
    figures = []
    with tempfile.TemporaryDirectory(prefix="calibook-bench-", dir=Path.cwd()) as folder:
        rooms = {
            "kernels": kernels.comparisons,
            "agipd": agipd.comparisons,
            "darks": darks.comparisons,
            "files": lambda: files.comparisons(Path(folder)),
            "fixed_costs": lambda: fixed_costs.comparisons(Path(folder)),
            "command": lambda: command.comparisons(Path(folder)),
        }
        whole = [name for name in names if name in rooms]
        for room in whole or rooms:
            for comparison in rooms[room]():
                if room in whole or any(name in comparison.name for name in names):
                    figures.append(compare(comparison))
                    console.print(f"  {figures[-1].name}: {figures[-1].median:.2f}")
        if "fixed_costs" in names:
            figures += fixed_costs.figures(Path(folder))
    console.print(_table(figures))


def _table(figures: list[Figure]) -> Table:
    table = Table(
        Column("figure", no_wrap=True),
        "compared with",
        "median",
        "min",
        "max",
        "n",
        title="above 1: calibook is faster",
    )
    for f in figures:
        table.add_row(f.name, f.against, f"{f.median:.2f}", f"{f.min:.2f}", f"{f.max:.2f}", str(f.n))
    return table


if __name__ == "__main__":
    main()
