"""The whole command: `calibook agipd correct` on 8 files of 0.5 GB, against a copy of the files.

With planning, notebooks, records with hashes, summary and verdict; without the report, whose
length does not depend on the data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from benchmarks.disk import copied, forget
from benchmarks.samples import AGIPD_SHAPE, agipd_constants, agipd_frames
from benchmarks.timing import Comparison
from calibook.calibration.made import put_constants
from calibook.constants import Store
from calibook.detectors.agipd import AGIPD, THRESHOLDS_DARK
from calibook.procedures.tasks import Task
from calibook.runs.conditions import read_conditions
from calibook.runs.raw_writer import RunPart, raw_file_writer, write_control_file
from calibook.simulation.agipd_settings import AgipdSettings

_MODULES = tuple(range(8))
_RUN, _CELLS, _TRAINS = 4, 64, 32
# What the store has constants for; and one fused pass, the time of which does not hide that of the files.
_OPTIONS = ("--rel-gain", "off", "--adjust-mg-baseline", "false", "--common-mode", "false")
_BEGIN = "2024-01-01T00:00:00.000+00:00"


def comparisons(folder: Path) -> Iterator[Comparison]:
    """`folder` is on the disk that is measured, with 15 GB free."""
    raw, store, out = (folder / f"command-{name}" for name in ("raw", "store", "out"))
    settings = AgipdSettings(run=_RUN, trains=_TRAINS, memory_cells=_CELLS, modules=_MODULES)
    files = _raw_run(raw, settings)
    _constants(raw, store, settings.karabo_id)
    environment = {**os.environ, "CALIBOOK_STORE": str(store)}

    def clean() -> None:
        shutil.rmtree(out, ignore_errors=True)
        forget(*(folder / path.name for path in files))

    def check() -> None:
        clean()
        correct()
        for module, path in zip(_MODULES, files, strict=True):
            source = AGIPD.corrected_source.format(karabo_id=settings.karabo_id, module=module)
            with h5py.File(out / path.name.replace("RAW", "CORR")) as f:
                image = f[f"INSTRUMENT/{source}/{AGIPD.index_group}"]
                assert image["data"].shape == (_CELLS * _TRAINS, *AGIPD_SHAPE)
                assert image["mask"].id.get_num_chunks() == _CELLS * _TRAINS
        assert len(list(out.glob("*.record.json"))) == len(files)

    def correct() -> None:
        program = (sys.executable, "-P", "-m", "calibook")
        where = ("--in-folder", raw, "--run", _RUN, "--out-folder", out, "--no-report")
        subprocess.run(
            [*program, "agipd", "correct", *map(str, where), *_OPTIONS],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def copy() -> None:
        for path in files:
            copied(path, folder / path.name)

    against = "cp and fsync of the 8 files"
    yield Comparison("agipd_command_vs_cp", against, correct, copy, check, 3, clean)
    clean()
    shutil.rmtree(raw)


def _raw_run(raw: Path, settings: AgipdSettings) -> list[Path]:
    made = agipd_frames(_CELLS, _TRAINS)
    trains, frames = np.arange(_TRAINS, dtype="u8"), len(made["cell"])
    part = RunPart(_RUN, 0, 10_000 + trains, 1_735_689_600 * 10**9 + trains * 10**8, proposal=1)
    values = {
        "cellId": made["cell"].astype("u2"),
        "pulseId": made["cell"].astype("u8"),
        "trainId": np.repeat(part.train_ids, _CELLS).astype("u8"),
        "length": np.zeros(frames, "u4"),
        "status": np.zeros(frames, "u2"),
    }
    folder = raw / f"r{_RUN:04d}"
    images = made["raw"].reshape(frames, 2, *AGIPD_SHAPE)
    for module in _MODULES:
        counts = np.full(_TRAINS, _CELLS)
        with raw_file_writer(folder, AGIPD, settings.karabo_id, module, part, counts) as writer:
            writer.append({"data": images}, {key: value[:, None] for key, value in values.items()})
    write_control_file(
        folder,
        AGIPD,
        settings.karabo_id_control,
        part,
        settings.composite_values(),
        settings.voltage_values(),
    )
    return [part.path(folder, AGIPD.aggregator.format(module=module)) for module in _MODULES]


def _constants(raw: Path, store: Path, karabo_id: str) -> None:
    """The same for each module, with bad pixels and gains that differ from pixel to pixel."""
    made = agipd_constants(_CELLS)
    levels = np.array([6000, 8000, 5000, 7200, 9000], np.float32).reshape(1, -1, 1, 1)
    arrays = {
        "Offset": made["offset"],
        "ThresholdsDark": np.broadcast_to(levels, (_CELLS, len(THRESHOLDS_DARK), *AGIPD_SHAPE)),
        "BadPixelsDark": made["bad_pixels"],
        "SlopesFF": (7 / 45 * made["relative"][:, 1]).astype(np.float32),
    }
    found = read_conditions(raw, _RUN, AGIPD, karabo_id)
    for module in _MODULES:
        aggregator = AGIPD.aggregator.format(module=module)
        about = {
            "unit": Store(store).unit_of(karabo_id, aggregator, _BEGIN),
            "begin": _BEGIN,
            "store": str(store),
            "valid_for": [found.conditions],
        }
        put_constants(
            AGIPD, Task(aggregator, about=about, outputs=[str(store / f"{aggregator}.json")]), arrays
        )
