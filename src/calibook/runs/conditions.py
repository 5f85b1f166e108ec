"""Operating conditions of a run, read from its control data through EXtra-data.

EXtra-data's `RunDirectory` leaves an index file in the run's folder. Raw
folders are not ours to write to, so files are opened one by one here; that
also lets a damaged file be passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibook.detectors.base import ConditionValue, Detector
from calibook.errors import BadInput, BadParameter, CalibookError
from calibook.runs.discover import find_karabo_id, find_raw_files, match_template
from calibook.runs.names import raw_files_in, run_folder

if TYPE_CHECKING:
    from extra_data import DataCollection
    from extra_data.file_access import FileAccess

_NS_PER_US = 1000


@dataclass(frozen=True)
class RunConditions:
    """Under which conditions, when and with which detector a run was taken.

    conditions: {the facility's parameter name: value}
    start: time of the run's first train, UTC
    control_source: the device that the conditions are from
    """

    conditions: dict[str, ConditionValue]
    start: datetime
    karabo_id: str
    control_source: str


def read_conditions(
    in_folder: Path | str, run: int, detector: Detector, karabo_id: str = "", control_source: str = ""
) -> RunConditions:
    """Conditions of a run at its start.

    karabo_id: the detector; found from the raw files if empty
    control_source: its control device; the detector's usual one if empty

    Raises BadInput if the control device is not in the run or lacks values;
    BadParameter if `control_source` names one that is not in the run.
    """
    folder = run_folder(in_folder, run)
    if not karabo_id:
        karabo_id = find_karabo_id(find_raw_files(in_folder, run, detector), detector)
    with _opened_run(folder, run, detector) as data:
        source = control_source or _usual_control_source(data, detector, karabo_id)
        if source not in data.control_sources:
            raise _no_such_source(source, data, folder, asked_for=bool(control_source))
        conditions = _conditions_of(data, source, detector, karabo_id)
        return RunConditions(conditions, _start_of(data, folder), karabo_id, source)


@contextmanager
def _opened_run(folder: Path, run: int, detector: Detector) -> Iterator[DataCollection]:
    """One readable file per aggregator of the run, as an EXtra-data run.

    Values at the start of the run are the same in all files of an aggregator.
    """
    from extra_data import DataCollection

    files: dict[str, FileAccess] = {}
    for path, name in raw_files_in(folder, run):
        if name.aggregator not in files and (file := _open_file(path)):
            files[name.aggregator] = file
    if not files:
        raise BadInput(folder, f"no file of run {run} is readable")
    # EXtra-data takes values from the first file that has the source.
    ordered = sorted(files, key=lambda aggregator: (aggregator != detector.control_aggregator, aggregator))
    with DataCollection([files[name] for name in ordered], ctx_closes=True, is_single_run=True) as data:
        yield data


def _open_file(path: Path) -> FileAccess | None:
    from extra_data import FileAccess

    try:
        return FileAccess(str(path))
    except Exception:  # whatever a damaged file makes HDF5 and EXtra-data raise
        return None


def _usual_control_source(data: DataCollection, detector: Detector, karabo_id: str) -> str:
    """The source named like the detector's template; where the control domain has a name of its own,
    that of the run's sources which fits, if exactly one does."""
    template = detector.control_source.replace("{karabo_id}", karabo_id)
    fitting = [source for source in sorted(data.control_sources) if match_template(template, source)]
    return fitting[0] if len(fitting) == 1 else template


def _no_such_source(source: str, data: DataCollection, folder: Path, *, asked_for: bool) -> CalibookError:
    """The error for a control device that is not in the run."""
    similar = ", ".join(_similar(source, data.control_sources)) or "no control sources"
    if asked_for:
        return BadParameter(
            f"control_source={source!r}: {folder} has no such source; the readable files have {similar}"
        )
    return BadInput(
        folder,
        f"no control source {source}, from which the conditions are read; the readable files have {similar}; "
        "name the right one with the parameter control_source (--control-source)",
    )


def _similar(source: str, existing: Iterable[str]) -> list[str]:
    """The nearest names first; all names, up to five, if none is near."""
    existing = sorted(existing)
    return get_close_matches(source, existing, n=5, cutoff=0.5) or existing[:5]


def _conditions_of(
    data: DataCollection, control_source: str, detector: Detector, karabo_id: str
) -> dict[str, ConditionValue]:
    values = _Values(data, control_source, detector, karabo_id)
    try:
        return detector.read_conditions(values)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        missing = [key for key, value in values.asked.items() if value is None]
        present = [f"{key}={value}" for key, value in values.asked.items() if value is not None]
        why = f"conditions can't be derived ({type(error).__name__}: {error})"
        if missing:
            why += f"; missing: {', '.join(missing)}"
        if present:
            why += f"; found: {', '.join(present)}"
        raise BadInput(data[control_source].files[0].filename, why, f"RUN/{control_source}") from None


class _Values:
    """The values of an opened run, see `detectors.base.RunValues`.

    asked: what was asked for so far, {key: value; None where it is missing}
    """

    def __init__(self, data: DataCollection, control_source: str, detector: Detector, karabo_id: str):
        self.control_source = control_source
        self.asked: dict[str, Any] = {}
        self._data, self._detector, self._karabo_id = data, detector, karabo_id

    def __call__(self, key: str) -> Any:
        from extra_data import PropertyNameError

        try:
            self.asked[key] = self._data[self.control_source].run_value(key)
        except (PropertyNameError, ValueError, KeyError):  # no such key, or no RUN values at all
            self.asked[key] = None
        return self.asked[key]

    def series(self, key: str, source: str = "") -> np.ndarray | None:
        from extra_data import PropertyNameError, SourceNameError

        name = f"{source}/{key}" if source else key
        try:
            values = self._data[source or self.control_source, key].ndarray()
        except (PropertyNameError, SourceNameError):
            values = np.zeros(0)
        self.asked[name] = values[0] if len(values) else None
        return values if len(values) else None

    def keys(self, source: str) -> list[str]:
        if source not in self._data.control_sources:
            return []
        return sorted(self._data[source].keys(inc_timestamps=False))

    def frame_values(self, key: str) -> Iterator[np.ndarray]:
        template = self._detector.raw_source.replace("{karabo_id}", self._karabo_id)
        for source in sorted(self._data.instrument_sources):
            if match_template(template, source):
                values = self._data[source, f"{self._detector.index_group}.{key}"].ndarray()
                if len(values):
                    yield values.reshape(len(values))


def _start_of(data: DataCollection, folder: Path) -> datetime:
    """Time of the first train: the earliest in any of the files."""
    earliest: int | None = None
    for file in data.files:
        stamps = file.file.get("INDEX/timestamp")
        valid = stamps[: len(file.train_ids)] if stamps is not None else np.zeros(0)
        valid = valid[valid > 0]
        if len(valid):
            earliest = min(int(valid.min()), earliest if earliest is not None else int(valid.min()))
    if earliest is None:
        raise BadInput(folder, "no file tells when its trains were taken", "INDEX/timestamp")
    seconds, nanoseconds = divmod(earliest, 10**9)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // _NS_PER_US)
