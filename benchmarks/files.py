"""A corrected file from a raw one, both on disk and flushed, against a copy and a typical script."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from benchmarks.samples import jungfrau_constants
from benchmarks.timing import Comparison
from calibook.calibration.correct import Correction, correct_file
from calibook.detectors.jungfrau import JUNGFRAU, signal_ranges
from calibook.kernels.packing import pack_constants
from calibook.procedures.tasks import Task
from calibook.simulation.jungfrau import simulate_run
from calibook.simulation.jungfrau_settings import JungfrauSettings

_TRAINS = 160


def comparisons(folder: Path) -> Iterator[Comparison]:
    """All comparisons of files; `folder` is on the disk that is measured."""
    settings = JungfrauSettings(run=1, trains=_TRAINS, modules=1, scene="flat", intensity=2.0)
    raw = simulate_run(folder / "raw", settings)[0]
    constants = jungfrau_constants()
    correction = Correction(pack_constants(**constants), signal_ranges("keV", 9.3))
    target, copy, typical = folder / "CORR-R0001-JNGFR01-S00000.h5", folder / "copy.h5", folder / "typical.h5"
    about = {"karabo_id": settings.karabo_id, "module": 1, "sequence": 0}
    task = Task("JNGFR01", about, [str(raw)], [str(target)])

    def correct() -> None:
        correct_file(JUNGFRAU, task, correction)

    def check() -> None:
        correct()
        _typical(raw, typical, constants, frames=8)
        with h5py.File(target) as ours, h5py.File(typical) as other:
            group = ours[f"INSTRUMENT/{settings.karabo_id}/CORR/JNGFR01:daqOutput/data"]
            # The script knows no invalid codes, and keeps offsets in double precision.
            high = group["gain"][:8, 0] == 0
            assert np.allclose(group["adc"][:8, 0][high], other["adc"][:8][high], rtol=1e-5, atol=1e-4)

    yield Comparison("jungfrau_file_vs_cp", "cp and fsync", correct, lambda: _copied(raw, copy), check, 5)
    yield Comparison(
        "jungfrau_file_vs_typical",
        "h5py, NumPy, h5py gzip",
        correct,
        lambda: _typical(raw, typical, constants, _TRAINS),
        check,
        1,
    )


def _copied(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    _flush(target)


def _typical(raw: Path, target: Path, constants: dict[str, np.ndarray], frames: int) -> None:
    """The script that everybody has: all in memory, NumPy, gzip by HDF5."""
    with h5py.File(raw) as f:
        group = next(iter(f["INSTRUMENT"].values()))["DET/JNGFR01:daqOutput/data"]
        adc, code = group["adc"][:frames, 0], group["gain"][:frames, 0]
    stage = np.minimum(code, 2)[None]
    offset, gain, mask = (
        np.take_along_axis(constants[name][0][:, None], stage, 0)[0]
        for name in ("offset", "gain", "bad_pixels")
    )
    data = ((adc - offset) / gain).astype(np.float32)
    with h5py.File(target, "w") as f:
        f.create_dataset("adc", data=data, chunks=(1, *data.shape[1:]))
        for name, array in (("gain", stage[0]), ("mask", mask)):
            f.create_dataset(
                name, data=array, chunks=(1, *data.shape[1:]), compression="gzip", compression_opts=1
            )
    _flush(target)


def _flush(path: Path) -> None:
    with open(path, "rb") as f:
        os.fsync(f.fileno())
