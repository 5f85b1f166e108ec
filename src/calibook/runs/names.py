"""Names of the files of a run: `RAW-R0004-JNGFR01-S00000.h5` in a folder `r0004`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from calibook.errors import BadInput, BadParameter

RAW, CORRECTED = "RAW", "CORR"

_FILE_NAME = re.compile(r"([A-Z]+)-R(\d{4,})-(\w+)-S(\d{5,})\.h5", re.ASCII)
_RUN_FOLDER = re.compile(r"r(\d{4,})", re.ASCII)


@dataclass(frozen=True, order=True)
class FileName:
    """The parts of a file's name; `str()` puts them together.

    prefix: "RAW" or "CORR"
    aggregator: the process that wrote the file, e.g. "JNGFR01"
    sequence: number of the part; an aggregator's files are cut after some trains
    """

    prefix: str
    run: int
    aggregator: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.prefix}-R{self.run:04d}-{self.aggregator}-S{self.sequence:05d}.h5"


def parse_file_name(path: Path | str) -> FileName | None:
    """The parts of a file's name, or None if it is not the name of a run's file."""
    match = _FILE_NAME.fullmatch(Path(path).name)
    if match is None:
        return None
    prefix, run, aggregator, sequence = match.groups()
    return FileName(prefix, int(run), aggregator, int(sequence))


def corrected_name(name: FileName) -> FileName:
    """Name of the corrected file made of a raw file."""
    return replace(name, prefix=CORRECTED)


def run_folder_name(run: int) -> str:
    """Name of a run's folder, e.g. "r0004"."""
    return f"r{run:04d}"


def raw_files_in(folder: Path, run: int | None = None) -> Iterator[tuple[Path, FileName]]:
    """Raw files that lie directly in a folder, of one run or (None) of any, sorted by name."""
    for entry in sorted(os.listdir(folder)):  # noqa: PTH208 - thousands of them
        name = parse_file_name(entry)
        if name is not None and name.prefix == RAW and run in (None, name.run):
            yield folder / entry, name


def run_folder(in_folder: Path | str, run: int) -> Path:
    """The folder with the raw files of a run: `in_folder/r0004`, or `in_folder` itself.

    Raises BadParameter if neither holds a raw file of the run, and names the runs
    that exist; BadInput if a folder can't be read.
    """
    in_folder = Path(in_folder)
    if not in_folder.is_dir():
        why = "no such folder" if not in_folder.exists() else "not a folder"
        raise BadParameter(f"in_folder={str(in_folder)!r}: {why}")
    wanted = in_folder / run_folder_name(run)
    try:
        for folder in (wanted, in_folder):
            if folder.is_dir() and next(raw_files_in(folder, run), None):
                return folder
        runs = sorted(_runs_in(in_folder))
    except OSError as error:
        raise BadInput(error.filename or in_folder, f"folder can't be read: {error.strerror}") from None
    exist = ", ".join(map(str, runs)) if runs else "none"
    looked_for = f"{RAW}-R{run:04d}-*.h5"
    raise BadParameter(
        f"run={run}: {in_folder} has no files of it: looked for {wanted.name}/{looked_for} and {looked_for}; "
        f"runs here: {exist}"
    )


def _runs_in(in_folder: Path) -> set[int]:
    """Numbers of the runs that a folder holds, as folders or as files."""
    runs = {name.run for _, name in raw_files_in(in_folder)}
    for path in in_folder.iterdir():
        match = _RUN_FOLDER.fullmatch(path.name)
        if match and path.is_dir():
            runs.add(int(match[1]))
    return runs
