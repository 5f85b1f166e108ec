"""A run with files that are damaged, each in its own way: the others are corrected, each fault is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import KARABO_ID, calibook, correct, corrected_file, figures, images, work_folder
from frames import write_module

pytestmark = pytest.mark.slow

DATA = f"INSTRUMENT/{KARABO_ID}/DET/JNGFR01:daqOutput/data"
INDEX = f"INDEX/{KARABO_ID}/DET/JNGFR01:daqOutput/data"
RUN, TRAINS = 6, 2


@dataclass(frozen=True)
class Damage:
    """What is done to a file, and what is said of it: the cause, and the dataset if one is to blame."""

    do: Callable[[Path], object]
    cause: str
    dataset: str = ""


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("gone.h5"))


def replaced(name: str, **dataset: Any) -> Callable[[Path], None]:
    """Put another dataset in the place of one; or none at all."""

    def do(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]
            if dataset:
                file.create_dataset(name, **dataset)

    return do


def changed(name: str, value: int) -> Callable[[Path], None]:
    """Set the values of a dataset."""

    def do(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file[name][...] = value

    return do


def scrambled_chunk(path: Path) -> None:
    """A damage that is only seen when the images are read: a chunk that does not deflate."""
    with h5py.File(path, "r+") as file:
        adc = file[f"{DATA}/adc"][()]
        del file[f"{DATA}/adc"]
        packed = file.create_dataset(f"{DATA}/adc", data=adc, chunks=(1, *adc.shape[1:]), compression="gzip")
        place = packed.id.get_chunk_info(1)
    with open(path, "r+b") as file:
        file.seek(place.byte_offset)
        file.write(b"\xff" * place.size)


SHAPE = (TRAINS, 1, 512, 1024)
DAMAGES = {
    "truncated": Damage(truncate, "truncated"),
    "empty": Damage(lambda path: path.write_bytes(b""), "empty"),
    "not HDF5": Damage(lambda path: path.write_bytes(b"plain text " * 100), "not an HDF5 file"),
    "missing dataset": Damage(replaced(f"{DATA}/gain"), "missing", f"{DATA}/gain"),
    "wrong dtype": Damage(
        replaced(f"{DATA}/adc", data=np.zeros(SHAPE, "f4")),
        "has type float32, expected uint16",
        f"{DATA}/adc",
    ),
    "wrong shape": Damage(
        replaced(f"{DATA}/adc", data=np.zeros((TRAINS, 1, 512, 512), "u2")), "has shape", f"{DATA}/adc"
    ),
    "no trains": Damage(changed("INDEX/trainId", 0), "no trains", "INDEX/trainId"),
    "counts that disagree": Damage(changed(f"{INDEX}/count", TRAINS), "overlap", f"{INDEX}/count"),
    "index beyond the data": Damage(
        replaced(f"{DATA}/adc", data=np.zeros((1, *SHAPE[1:]), "u2")), "the dataset has 1", f"{DATA}/adc"
    ),
    "damaged chunk": Damage(scrambled_chunk, "can't be read", f"{DATA}/adc"),
    "a folder": Damage(as_folder, "no such file"),
    "a dangling link": Damage(dangling, "no such file"),
}
# Sequence 0 is good in both modules; module 1 has a damaged file in each of the others, which module 2 lacks.
SEQUENCE = {what: number for number, what in enumerate(DAMAGES, start=1)}


@pytest.fixture(scope="module")
def frames() -> tuple[np.ndarray, np.ndarray]:
    adc = np.random.default_rng(6).integers(2000, 4000, SHAPE[:1] + SHAPE[2:], dtype="u2")
    return adc, np.zeros(adc.shape, "u1")


@pytest.fixture(scope="module")
def damaged(detector, frames, tmp_path_factory) -> Path:
    """Output folder of the run with the damaged files, whose correction ends with exit code 1."""
    folder = tmp_path_factory.mktemp("damaged")
    raw = folder / "raw"
    (folder / "tape").mkdir()
    # Archives are full of links: a good one is as good as its file, whatever that is called.
    kept = write_module(raw, RUN, *frames, module=2).rename(folder / "tape" / "4711.h5")
    (raw / f"r{RUN:04d}" / f"RAW-R{RUN:04d}-JNGFR02-S00000.h5").symlink_to(kept)
    write_module(raw, RUN, *frames)
    for what, damage in DAMAGES.items():
        damage.do(write_module(raw, RUN, *frames, sequence=SEQUENCE[what]))
    correct(raw, RUN, folder / "proc", store=detector.store, expect=1)
    return folder / "proc"


def raw_file(out: Path, sequence: int) -> Path:
    return out.parent / "raw" / f"r{RUN:04d}" / f"RAW-R{RUN:04d}-JNGFR01-S{sequence:05d}.h5"


def test_good_files_are_corrected(damaged, frames):
    for module in (1, 2):
        assert len(images(corrected_file(damaged, RUN, module))["adc"]) == TRAINS


def test_damaged_files_leave_no_output(damaged):
    good = {corrected_file(damaged, RUN, module).name for module in (1, 2)}
    assert {path.name for path in damaged.glob("*.h5")} == good
    assert not list(damaged.rglob("*.part"))


@pytest.mark.parametrize("what", DAMAGES)
def test_status_names_file_dataset_and_cause(damaged, what):
    said = calibook("status", work_folder(damaged), "--json", expect=1).out
    tasks = {task["name"]: task for task in json.loads(said)["tasks"]}
    task = tasks[f"JNGFR01-S{SEQUENCE[what]:05d}"]
    assert task["state"] == "bad input"
    for words in (raw_file(damaged, SEQUENCE[what]), DAMAGES[what].dataset, DAMAGES[what].cause):
        assert str(words) in task["cause"]


def test_status_tells_people_too(damaged):
    said = calibook("status", work_folder(damaged), expect=1).out
    assert "2 done" in said
    assert f"{len(DAMAGES)} bad input" in said
    for sequence in SEQUENCE.values():
        assert str(raw_file(damaged, sequence)) in said
    assert "calibook resume" in said


def test_status_names_the_files_that_a_module_lacks(damaged):
    found = json.loads(calibook("status", work_folder(damaged), "--json", expect=1).out)["problems"]
    names = [f"RAW-R{RUN:04d}-JNGFR02-S{sequence:05d}.h5" for sequence in SEQUENCE.values()]
    assert [Path(path).name for path in found] == names
    assert all("missing, though other modules have" in why for why in found.values())


def test_the_verdict_fails(damaged):
    found = figures(work_folder(damaged))
    assert found["files_unusable"]["value"] == len(DAMAGES)
    assert found["tasks_failed"]["value"] == len(DAMAGES)
    assert found["tasks_failed"]["status"] == "fail"


def test_a_run_of_which_nothing_is_readable_ends_with_1_and_says_why(detector, frames, tmp_path):
    path = write_module(tmp_path / "raw", RUN, *frames)
    path.write_bytes(b"")
    ended = calibook(
        *(
            "jungfrau",
            "correct",
            "--in-folder",
            tmp_path / "raw",
            "--run",
            RUN,
            "--out-folder",
            tmp_path / "out",
        ),
        store=detector.store,
        expect=1,
    )
    assert path.name in ended.err
    assert not (tmp_path / "out").exists()


def test_a_run_without_its_control_device_says_how_to_name_one(detector, frames, tmp_path):
    write_module(tmp_path / "raw", RUN, *frames)
    next((tmp_path / "raw").rglob("*JNGFRCTRL00*")).unlink()
    where = ("--in-folder", tmp_path / "raw", "--run", RUN, "--out-folder", tmp_path / "out")
    ended = calibook("jungfrau", "correct", *where, store=detector.store, expect=1)
    assert f"no control source {KARABO_ID}/DET/CONTROL" in ended.err
    assert "--control-source" in ended.err
