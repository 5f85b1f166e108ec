"""A corrected file from a raw one, both on disk and flushed, against a copy and a typical script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from benchmarks.agipd import packed_constants
from benchmarks.disk import copied, flush, forget
from benchmarks.samples import AGIPD_SHAPE, agipd_frames, jungfrau_constants
from benchmarks.stages import stages
from benchmarks.timing import Comparison
from calibook.calibration.agipd.correct import AgipdCorrection, cell_by_cell, correct_agipd_frames
from calibook.calibration.agipd.correct_file import TRAINS_TOGETHER
from calibook.calibration.correct import Correction, correct_file
from calibook.calibration.workers import correct_all
from calibook.detectors.agipd import AGIPD, signal_ranges
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.detectors.jungfrau import signal_ranges as jungfrau_ranges
from calibook.kernels.packing import PackedConstants, pack_constants
from calibook.procedures.tasks import Task
from calibook.runs.corrected_file import CorrectedWriter
from calibook.runs.raw_file import open_raw
from calibook.runs.raw_writer import RunPart, raw_file_writer
from calibook.simulation.jungfrau import simulate_run
from calibook.simulation.jungfrau_settings import JungfrauSettings

_JUNGFRAU_TRAINS = 320
_AGIPD_CELLS, _AGIPD_TRAINS, _AGIPD_ID = 64, 32, "SPB_DET_AGIPD1M-1"
_PROCESSES = 2

Script = Callable[[Path, slice], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Reads some entries of a raw file; returns data, gain and mask as NumPy has them."""


def comparisons(folder: Path) -> Iterator[Comparison]:
    """All comparisons of files of 0.5 GB; `folder` is on the disk that is measured."""
    yield from _jungfrau(folder)
    yield from _agipd(folder)


def jungfrau_stages(folder: Path) -> dict[str, float]:
    """See `stages.stages`; of the file that the comparisons were of."""
    raw, karabo_id = _jungfrau_raw(folder)
    return stages(raw, karabo_id, pack_constants(**jungfrau_constants()), folder / "scratch")


def _jungfrau_raw(folder: Path) -> tuple[Path, str]:
    """A raw file, simulated unless it is there, and the name of its detector."""
    settings = JungfrauSettings(run=1, trains=_JUNGFRAU_TRAINS, modules=1, scene="flat", intensity=2.0)
    there = sorted((folder / "raw").rglob("RAW-R0001-JNGFR01-S*.h5"))
    return there[0] if there else simulate_run(folder / "raw", settings)[0], settings.karabo_id


def _jungfrau(folder: Path) -> Iterator[Comparison]:
    raw, karabo_id = _jungfrau_raw(folder)
    packed = pack_constants(**jungfrau_constants())
    correction = Correction(packed, jungfrau_ranges("keV", 9.3))
    target = folder / "CORR-R0001-JNGFR01-S00000.h5"
    about = {"karabo_id": karabo_id, "module": 1, "sequence": 0}
    task = Task("JNGFR01", about, [str(raw)], [str(target)])
    script = partial(_jungfrau_script, packed)
    correct = partial(correct_file, JUNGFRAU, task, correction)
    yield from _compared("jungfrau", raw, target, correct, script, _JUNGFRAU_TRAINS, JUNGFRAU.corrected_keys)


def _jungfrau_script(packed: PackedConstants, raw: Path, entries: slice) -> tuple[np.ndarray, ...]:
    with h5py.File(raw) as f:
        group = next(iter(f["INSTRUMENT"].values()))["DET/JNGFR01:daqOutput/data"]
        adc, code = group["adc"][entries], group["gain"][entries]
    stage = np.minimum(code, 2).reshape(-1, packed.pixels)
    offset, scale, word = (
        np.take_along_axis(a[0][:, None], stage[None], 0)[0]
        for a in (packed.offset, packed.scale, packed.mask)
    )
    data = (adc.reshape(stage.shape) - offset) * scale
    return tuple(a.reshape(adc.shape) for a in (data, stage, word))


def _agipd(folder: Path) -> Iterator[Comparison]:
    raw, constants = _agipd_raw(folder), packed_constants(_AGIPD_CELLS)
    correction = AgipdCorrection(constants)
    target = folder / "CORR-R0002-AGIPD00-S00000.h5"

    def correct() -> None:
        with open_raw(raw, AGIPD, _AGIPD_ID) as opened, CorrectedWriter(target, opened, AGIPD) as writer:

            def frames(block, data, gain, mask):
                images = block.images["data"].reshape(block.frames, 2, -1)
                shifts = correct_agipd_frames(images, block.cells, correction, data, gain, mask, AGIPD_SHAPE)
                return {"blShift": shifts.whole}

            groups = cell_by_cell(opened, opened.n_frames, TRAINS_TOGETHER)
            correct_all(opened, writer, frames, signal_ranges("keV", 9.3), groups=groups)

    script = partial(_agipd_script, constants)
    frames = _AGIPD_CELLS * _AGIPD_TRAINS
    yield from _compared("agipd", raw, target, correct, script, frames, AGIPD.corrected_keys)


def _agipd_raw(folder: Path) -> Path:
    """Frames from a seed, in a raw file of module 0."""
    made = agipd_frames(_AGIPD_CELLS, _AGIPD_TRAINS)
    trains, frames = np.arange(_AGIPD_TRAINS, dtype="u8"), len(made["cell"])
    part = RunPart(2, 0, 10_000 + trains, 10**18 + trains * 10**8, proposal=1)
    values = {
        "cellId": made["cell"].astype("u2"),
        "pulseId": made["cell"].astype("u8"),
        "trainId": np.repeat(part.train_ids, _AGIPD_CELLS).astype("u8"),
        "length": np.zeros(frames, "u4"),
        "status": np.zeros(frames, "u2"),
    }
    counts = np.full(_AGIPD_TRAINS, _AGIPD_CELLS)
    with raw_file_writer(folder / "raw", AGIPD, _AGIPD_ID, 0, part, counts) as writer:
        images = made["raw"].reshape(frames, 2, *AGIPD_SHAPE)
        writer.append({"data": images}, {key: value[:, None] for key, value in values.items()})
    return part.path(folder / "raw", AGIPD.aggregator.format(module=0))


def _agipd_script(constants, raw: Path, entries: slice) -> tuple[np.ndarray, ...]:
    with h5py.File(raw) as f:
        group = f[f"INSTRUMENT/{_AGIPD_ID}/DET/0CH0:xtdf/image"]
        images, cell = group["data"][entries], group["cellId"][entries].ravel()
    signal, level = images.reshape(len(images), 2, -1).transpose(1, 0, 2)
    threshold = constants.threshold[cell]
    stage = (level > threshold[:, 0]).astype(np.uint8) + (level > threshold[:, 1])
    offset, scale, word = (
        np.take_along_axis(a[cell], stage[:, None], 1)[:, 0]
        for a in (constants.offset, constants.scale, constants.mask)
    )
    data = (signal - offset) * scale
    return tuple(a.reshape(len(images), *AGIPD_SHAPE) for a in (data, stage, word))


def _compared(
    name: str,
    raw: Path,
    target: Path,
    correct: Callable[[], object],
    script: Script,
    entries: int,
    keys,
) -> Iterator[Comparison]:
    copy, typical = target.with_name("copy.h5"), target.with_name("typical.h5")

    def clean() -> None:
        forget(target, copy, typical)

    def check() -> None:
        correct()
        some = slice(0, 8)
        with h5py.File(target) as ours:
            source = next(iter(next(iter(ours["INSTRUMENT"].values()))["CORR"].values()))
            group = next(iter(source.values()))
            expected = dict(zip(keys, script(raw, some), strict=True))
            # Scripts know no invalid samples, which have a bit of their own in our masks.
            valid = group["mask"][some] == expected["mask"]
            assert valid.mean() > 0.999
            for key, array in expected.items():
                assert np.array_equal(group[key][some][valid], array[valid]), key

    yield Comparison(
        f"{name}_file_vs_cp", "cp and fsync", correct, lambda: copied(raw, copy), check, 7, clean
    )
    yield Comparison(
        f"{name}_file_vs_typical",
        "h5py, NumPy in a pool, h5py gzip",
        correct,
        lambda: _typical(raw, typical, script, entries),
        lambda: None,  # the same two as above
        1,
        clean,
    )


def _typical(raw: Path, target: Path, script: Script, entries: int) -> None:
    """What everybody writes: NumPy in a process pool, then one file with HDF5's gzip."""
    bounds = np.linspace(0, entries, 4 * _PROCESSES + 1).astype(int).tolist()
    with ProcessPoolExecutor(_PROCESSES) as pool:
        parts = list(pool.map(script, [raw] * (len(bounds) - 1), [slice(*pair) for pair in pairwise(bounds)]))
    with h5py.File(target, "w") as f:
        for number, name in enumerate(("data", "gain", "mask")):
            array = np.concatenate([part[number] for part in parts])
            chunk = (*(1 for _ in array.shape[:-2]), *array.shape[-2:])
            f.create_dataset(
                name, data=array, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True
            )
    flush(target)
