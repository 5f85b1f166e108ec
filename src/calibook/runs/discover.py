"""Which raw files a run has, and which detector they are of.

Files are found by name alone, so that a damaged file is found like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

import h5py

from calibook.detectors.base import Detector
from calibook.errors import BadInput, BadParameter
from calibook.runs.layout import source_ids
from calibook.runs.names import RAW, FileName, raw_files_in, run_folder

ALL = -1
"""In a list of modules or sequences: every one that exists."""


@dataclass(frozen=True, order=True)
class RawFile:
    """A raw file of one detector module, known by its name.

    path: absolute, with the file's own name, which says what it is, even where it is a link
    """

    path: Path
    run: int
    aggregator: str
    module: int
    sequence: int


def find_raw_files(
    in_folder: Path | str,
    run: int,
    detector: Detector,
    modules: Sequence[int] = (ALL,),
    sequences: Sequence[int] = (ALL,),
) -> list[RawFile]:
    """Raw files of a detector's modules in a run, sorted by module and sequence.

    Raises BadInput if the run has no such file, BadParameter if there is no such
    run, or if a module or a sequence is asked for that none of the files has.
    """
    # Links on the way to the folder are followed once, not for each of its thousands of files.
    folder = run_folder(in_folder, run).resolve()
    files = []
    for path, name in raw_files_in(folder, run):
        module = module_of(name.aggregator, detector)
        if module is not None:
            files.append(RawFile(path, name.run, name.aggregator, module, name.sequence))
    if not files:
        aggregators = sorted({name.aggregator for _, name in raw_files_in(folder, run)})
        raise BadInput(
            folder,
            f"run {run} has no {detector.title} files (aggregator {detector.aggregator}); "
            f"it has files of {', '.join(aggregators)}",
        )
    files = _select(files, "modules", [file.module for file in files], modules)
    files = _select(files, "sequences", [file.sequence for file in files], sequences)
    return sorted(files, key=lambda file: (file.module, file.sequence))


def missing_files(files: Iterable[RawFile]) -> dict[str, str]:
    """Files that a module lacks although another one has that sequence: {path where it should be: why}."""
    there = list(files)
    present = {(file.module, file.sequence) for file in there}
    missing = {}
    for module in sorted({file.module for file in there}):
        one = next(file for file in there if file.module == module)
        for sequence in sorted({file.sequence for file in there}):
            if (module, sequence) not in present:
                path = one.path.with_name(str(FileName(RAW, one.run, one.aggregator, sequence)))
                missing[str(path)] = "missing, though other modules have a file of this sequence"
    return missing


def _select(files: list[RawFile], what: str, numbers: list[int], wanted: Sequence[int]) -> list[RawFile]:
    if ALL in wanted:
        return files
    existing = sorted(set(numbers))
    missing = sorted(set(wanted) - set(existing))
    if missing or not wanted:
        raise BadParameter(
            f"{what}={list(wanted)}: the run has no {', '.join(map(str, missing)) or 'such files'}; "
            f"it has {', '.join(map(str, existing))} ({ALL} for all)"
        )
    return [file for file, number in zip(files, numbers, strict=True) if number in wanted]


def module_of(aggregator: str, detector: Detector) -> int | None:
    """Module number in an aggregator's name; None if it is not of this detector."""
    fields = match_template(detector.aggregator, aggregator)
    return int(fields["module"]) if fields else None


def match_template(template: str, text: str) -> dict[str, str] | None:
    """The fields with which a name template gives `text`, or None.

    >>> match_template("{karabo_id}/DET/JNGFR{module:02d}:daqOutput", "A_JF1M/DET/JNGFR01:daqOutput")
    {'karabo_id': 'A_JF1M', 'module': '01'}
    """
    pattern = ""
    for literal, field, _, _ in Formatter().parse(template):
        pattern += re.escape(literal)
        if field is not None:
            pattern += rf"(?P<{field}>\d+)" if field == "module" else rf"(?P<{field}>[^/:]+)"
    match = re.fullmatch(pattern, text, re.ASCII)
    return match.groupdict() if match else None


def karabo_ids(files: Iterable[RawFile], detector: Detector) -> dict[str, list[int]]:
    """Detectors whose data the files hold: {karabo-id: its modules}.

    Read from the list of sources of each module's first readable file.
    Raises BadInput if no file is readable or none has a source of this detector.
    """
    template = f"INSTRUMENT/{detector.raw_source}/{detector.index_group}"
    found: dict[str, list[int]] = {}
    read: dict[int, list[str]] = {}
    problems = []
    for file in files:
        if file.module in read:
            continue
        try:
            with h5py.File(file.path, "r") as h5file:
                read[file.module] = source_ids(h5file)
        except (OSError, KeyError, RuntimeError) as error:
            problems.append(BadInput(file.path, f"no file of the run is readable; this one: {error}"))
            continue
        for fields in filter(None, (match_template(template, source) for source in read[file.module])):
            found.setdefault(fields["karabo_id"], []).append(int(fields["module"]))
        if not found:
            others = ", ".join(read[file.module]) or "none"
            problems.append(BadInput(file.path, f"no source is named like {template}; there are {others}"))
    if not found:
        raise problems[-1]
    return found


def find_karabo_id(files: Iterable[RawFile], detector: Detector, wanted: str = "") -> str:
    """The karabo-id of the detector that wrote the files, e.g. "FXE_XAD_JF1M".

    wanted: the one that was asked for; empty for the only one there is
    Raises BadParameter if it is not among them, or if there are several to choose from.
    """
    found = karabo_ids(list(files), detector)
    listed = "; ".join(f"{name} (modules {', '.join(map(str, found[name]))})" for name in sorted(found))
    if wanted and wanted not in found:
        raise BadParameter(f"karabo_id={wanted!r}: the run has no such {detector.title}; it has {listed}")
    if wanted:
        return wanted
    if len(found) > 1:
        raise BadParameter(f"karabo_id: the run has several {detector.title} detectors, choose one: {listed}")
    return next(iter(found))
