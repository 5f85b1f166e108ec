"""`calibook reproduce`: a file made again from its record, or what stands in the way."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
from commands import calibook, corrected_file, work_folder

from calibook.files import blake3, read_json
from calibook.procedures.notebook import notebooks_root


@dataclass(frozen=True)
class OwnCorrection:
    """A corrected file, and all that it was made from, in copies that a test may spoil."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "raw" / "r0004" / "RAW-R0004-JNGFR01-S00000.h5"

    @property
    def notebook(self) -> Path:
        return self.folder / "mine" / "correct.ipynb"

    @property
    def corrected(self) -> Path:
        return corrected_file(self.folder / "proc")

    @property
    def record(self) -> Path:
        return self.corrected.with_name(f"{self.corrected.stem}.record.json")

    @property
    def offset(self) -> Path:
        constants = read_json(self.record)["constants"]
        [entry] = (entry for entry in constants if entry["calibration"] == "Offset10Hz")
        return Path(entry["store"]) / entry["path"]

    def reproduce(self, expect: int = 0) -> str:
        return calibook("reproduce", self.record, store=self.folder / "store", expect=expect).out


@pytest.fixture(scope="module")
def mine(detector, tmp_path_factory) -> OwnCorrection:
    mine = OwnCorrection(tmp_path_factory.mktemp("mine"))
    shutil.copytree(detector.store, mine.folder / "store")
    shutil.copytree(detector.raw / "r0004", mine.raw.parent)
    shutil.copytree(notebooks_root() / "jungfrau", mine.notebook.parent)
    where = ("--in-folder", mine.raw.parents[1], "--run", 4, "--out-folder", mine.folder / "proc")
    store = mine.folder / "store"
    calibook("run", mine.notebook, *where, "--modules", 1, "--no-report", store=store)
    return mine


@pytest.fixture
def spoiled(mine):
    """Change a file with a function, and put it back after the test."""
    before: list[tuple[Path, Path]] = []

    def spoil(path: Path, change) -> None:
        kept = path.with_name(f"{path.name}.kept")
        shutil.copy2(path, kept)
        before.append((kept, path))
        change(path)

    yield spoil
    for kept, path in before:
        kept.replace(path)


def test_a_lost_file_comes_back_with_every_byte(mine):
    before = blake3(mine.corrected)
    others = sorted(path.name for path in mine.corrected.parent.iterdir())
    mine.corrected.unlink()
    assert "identical" in mine.reproduce()
    assert blake3(mine.corrected) == before
    assert sorted(path.name for path in mine.corrected.parent.iterdir()) == others
    done = calibook("status", work_folder(mine.folder / "proc"))
    assert "1 done" in done.out


def change_first_value(path: Path) -> None:
    """Another number in the first dataset of images; the file's size stays."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if getattr(item, "ndim", 0) >= 4 else None)
        values = file[names[0]]
        values[(0,) * values.ndim] += 1


def test_another_constant_is_named(mine, spoiled):
    spoiled(mine.offset, change_first_value)
    said = mine.reproduce(expect=1)
    assert "differs: constant Offset10Hz FXE_XAD_JF1M_JNGFR01" in said
    assert "RelativeGain10Hz" not in said


def test_another_raw_file_is_named(mine, spoiled):
    spoiled(mine.raw, change_first_value)
    assert f"differs: input {mine.raw}: its content was changed" in mine.reproduce(expect=1)


def test_another_notebook_is_named(mine, spoiled):
    def change(path: Path) -> None:
        text = path.read_text()
        assert "blocks of frames" in text
        path.write_text(text.replace("blocks of frames", "blocks of many frames"))

    spoiled(mine.notebook, change)
    assert f"differs: notebook {mine.notebook}: it was changed" in mine.reproduce(expect=1)


def test_all_that_differs_is_named_at_once_and_nothing_is_written(mine, spoiled):
    spoiled(mine.offset, Path.unlink)
    spoiled(mine.raw, Path.unlink)
    before = blake3(mine.corrected)
    said = mine.reproduce(expect=1)
    assert f"differs: input {mine.raw}" in said
    assert "differs: constant Offset10Hz" in said
    assert "was not made again" in said
    assert blake3(mine.corrected) == before
