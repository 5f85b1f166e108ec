"""The constants of a request, looked up once per detector unit and pinned.

All tasks of a request use the same entries, each with its content hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibook.constants import Store
from calibook.detectors.base import Detector
from calibook.errors import NoConstants
from calibook.procedures.tasks import Task
from calibook.runs.conditions import RunConditions

Wanted = Mapping[str, bool | str]
"""{calibration: required}; a text says what it is required for."""


class Pins:
    """The constants of a request, looked up once per detector unit."""

    def __init__(self, store: Store, detector: Detector, found: RunConditions, strategy: str, frozen: str):
        self.store, self.detector, self.found = store, detector, found
        self.strategy, self.frozen = strategy, frozen
        self.entries: list[dict[str, Any]] = []
        self._known: dict[str, tuple[list[int], dict[str, str]]] = {}

    def of(self, aggregator: str, wanted: Wanted) -> tuple[list[int], dict[str, str]]:
        """Indices of the entries of one module, and {required but missing calibration: why}."""
        if aggregator not in self._known:
            self._known[aggregator] = self._look_up(aggregator, wanted)
        return self._known[aggregator]

    def _look_up(self, aggregator: str, wanted: Wanted) -> tuple[list[int], dict[str, str]]:
        unit = self.store.unit_of(self.found.karabo_id, aggregator, self.found.start)
        indices, missing = [], {}
        for calibration, required in wanted.items():
            query: dict[str, Any] = {
                "pdu": unit,
                "calibration": calibration,
                "conditions": self.detector.conditions_of(calibration, self.found.conditions),
                "at": self.found.start,
                "strategy": self.strategy,
                "frozen": self.frozen,
            }
            constant = self.store.find(**query)
            if constant is not None:
                indices.append(len(self.entries))
                self.entries.append({**constant.to_dict(), "karabo_da": aggregator})
            elif required:
                why = self.store.why_not(**query)
                missing[calibration] = f"{why}; {required}" if isinstance(required, str) else why
        return indices, missing

    def refuse_if_nothing_found(self, tasks: Sequence[Task]) -> None:
        """NoConstants if not one task could run."""
        reasons = [task.about["missing_constants"] for task in tasks]
        if reasons and all(reasons):
            lines = "\n".join(f"  {calibration}: {why}" for calibration, why in reasons[0].items())
            raise NoConstants(
                f"no module of run has the constants it needs in the store {self.store.folder}; "
                f"for {tasks[0].name}:\n{lines}\nSee: calibook constants list --store {self.store.folder}"
            )
