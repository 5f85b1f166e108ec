"""Several runs that together make one set of constants: files of each module, conditions of them all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from calibook.detectors.base import Detector
from calibook.errors import BadInput, BadParameter
from calibook.runs.conditions import RunConditions, read_conditions
from calibook.runs.discover import RawFile, find_karabo_id, find_raw_files


@dataclass(frozen=True)
class RunSet:
    """Runs by what they are for, e.g. a gain stage.

    what: they are, for messages: "dark runs"
    in_folder: that holds them
    runs: {what it is for: run number}
    files: {what it is for: raw files}
    conditions: {what it is for: conditions}
    """

    what: str
    in_folder: str
    runs: Mapping[str, int]
    files: Mapping[str, Sequence[RawFile]]
    conditions: Mapping[str, RunConditions]

    @classmethod
    def read(
        cls,
        what: str,
        detector: Detector,
        in_folder: str,
        runs: Mapping[str, int],
        modules: Sequence[int] = (-1,),
        karabo_id: str = "",
        control_source: str = "",
    ) -> RunSet:
        """Find files and read conditions. Raises BadParameter where two runs are the same."""
        if len(set(runs.values())) != len(runs):
            listed = ", ".join(f"{name}: {run}" for name, run in runs.items())
            raise BadParameter(f"{what} {listed}; each needs a run of its own")
        files = {name: find_raw_files(in_folder, run, detector, modules) for name, run in runs.items()}
        karabo_id = find_karabo_id(next(iter(files.values())), detector, karabo_id)
        conditions = {
            name: read_conditions(in_folder, run, detector, karabo_id, control_source)
            for name, run in runs.items()
        }
        return cls(what, in_folder, runs, files, conditions)

    @property
    def first(self) -> RunConditions:
        """Conditions of the first run."""
        return next(iter(self.conditions.values()))

    @property
    def begin(self) -> datetime:
        """When the earliest of them began."""
        return min(conditions.start for conditions in self.conditions.values())

    @property
    def every_file(self) -> list[RawFile]:
        return [file for files in self.files.values() for file in files]

    def about(self, aggregator: str) -> dict[str, Any]:
        """One module's number, and the paths of its files by what their run is for."""
        files = {name: [f for f in fs if f.aggregator == aggregator] for name, fs in self.files.items()}
        return {
            "module": next(f.module for fs in files.values() for f in fs),
            "files": {name: [str(f.path) for f in fs] for name, fs in files.items()},
        }

    def incomplete(self) -> dict[str, str]:
        """{aggregator: why} of modules that some run lacks; BadInput if no module is in all runs."""
        seen = {name: {f.aggregator for f in files} for name, files in self.files.items()}
        every = sorted(set().union(*seen.values()))
        lacking = {module: [name for name in seen if module not in seen[name]] for module in every}
        missing = {module: names for module, names in lacking.items() if names}
        if len(missing) == len(every):
            folder = self.every_file[0].path.parent.parent
            raise BadInput(folder, f"no module has files in all {self.what} ({', '.join(missing)} lack some)")
        return {
            module: f"no file in run {', '.join(str(self.runs[name]) for name in names)}"
            for module, names in missing.items()
        }

    def refuse_different(self, but_for: Collection[str] = ()) -> None:
        """BadParameter unless all runs were taken under the same conditions, but for some."""
        first, *others = self.runs
        for name in others:
            ours, theirs = self.first.conditions, self.conditions[name].conditions
            differ = sorted(key for key in {*ours, *theirs} - {*but_for} if ours.get(key) != theirs.get(key))
            if differ:
                listed = ", ".join(f"{key}: {ours.get(key)} and {theirs.get(key)}" for key in differ)
                raise BadParameter(
                    f"{self.what} {self.runs[first]} and {self.runs[name]} were taken "
                    f"under different conditions ({listed}); they can't make one set of constants"
                )
