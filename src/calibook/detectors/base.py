"""What a detector is: the facts that files, constants and reports need.

One `Detector` per module of this package. The rooms that read and write files
take a Detector and know no detector by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

ConditionValue = float | str
"""Conditions are numbers or text, keyed by the facility's parameter names."""


@dataclass(frozen=True)
class ConstantFacts:
    """A kind of calibration constant.

    dims: names of the axes as stored, EXtra's order (fast_scan first)
    conditions: names of the parameters it depends on
    """

    dtype: str
    dims: tuple[str, ...]
    unit: str
    meaning: str
    conditions: tuple[str, ...]


class RunValues(Protocol):
    """What `Detector.read_conditions` can ask a run for.

    Without a source it is the detector's control source that is asked.
    """

    control_source: str

    def __call__(self, key: str) -> Any:
        """A control key's value at the start of the run; None where the key is missing."""

    def series(self, key: str, source: str = "") -> np.ndarray | None:
        """Values of a control key, one per train; None where source or key is missing or empty."""

    def keys(self, source: str) -> Sequence[str]:
        """Names of a control source's keys, sorted; none where the source is missing."""

    def frame_values(self, key: str) -> Iterable[np.ndarray]:
        """A dataset with one value per frame, e.g. "cellId", of each module that has frames: (N,)."""


@dataclass(frozen=True)
class Detector:
    """A kind of detector in the European XFEL file layout.

    Templates in braces take `karabo_id` and `module` (the module's number as
    in its source name); `control_source` may take `control` instead, a domain
    with a name of its own. Dataset names are relative to
    `INSTRUMENT/{source}/{index_group}`.

    name: folder of its notebooks, and its name on the command line
    detector_type: the facility's name of the type, in constant paths
    module_shape: (slow_scan, fast_scan)
    frames_in_train: True if one entry on axis 0 is a train that holds a fixed
        number of frames on axis 1; False if it is one frame
    planes: axes of a raw frame before its pixel axes, e.g. (2,) for a plane of
        signal and one of gain
    image_keys: datasets with one value per pixel, {name: dtype}
    frame_keys: datasets with one value per frame, {name: dtype}
    train_keys: datasets with one value per train, {name: dtype}
    corrected_keys: image datasets of a corrected file, {name: dtype}
    corrected_frame_keys: datasets of a corrected file with one value per frame
        that raw files don't have, {name: dtype}
    gain_stages: names, in the order of the constants' gain axis
    constants: {calibration name: facts}
    read_conditions: takes the values of a run, returns the conditions
    tolerances: of conditions that are not exact, in their unit
    condition_units: units of conditions, for people
    """

    name: str
    title: str
    detector_type: str
    module_shape: tuple[int, int]
    pixel_size_mm: float
    first_module: int
    aggregator: str
    raw_source: str
    corrected_source: str
    control_aggregator: str
    control_source: str
    index_group: str
    frames_in_train: bool
    image_keys: Mapping[str, str]
    frame_keys: Mapping[str, str]
    train_keys: Mapping[str, str]
    corrected_keys: Mapping[str, str]
    cell_key: str
    gain_stages: tuple[str, ...]
    constants: Mapping[str, ConstantFacts]
    read_conditions: Callable[[RunValues], dict[str, ConditionValue]]
    tolerances: Mapping[str, float] = field(default_factory=dict)
    planes: tuple[int, ...] = ()
    corrected_frame_keys: Mapping[str, str] = field(default_factory=dict)
    condition_units: Mapping[str, str] = field(default_factory=dict)

    def conditions_of(
        self, calibration: str, conditions: Mapping[str, ConditionValue]
    ) -> dict[str, ConditionValue]:
        """The part of `conditions` that a kind of constant depends on."""
        names = self.constants[calibration].conditions
        return {name: conditions[name] for name in names if name in conditions}

    def shown(self, conditions: Mapping[str, ConditionValue]) -> dict[str, str]:
        """Conditions as people read them: {name: value with unit}."""
        return {
            name: f"{value:.6g} {self.condition_units.get(name, '')}".rstrip()
            if isinstance(value, float)
            else str(value)
            for name, value in conditions.items()
        }
