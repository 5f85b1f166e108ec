"""One constant: what it is, for what it holds, where its file lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from calibook.constants.names import checked_name, checked_number, checked_text
from calibook.errors import BadParameter


@dataclass(frozen=True)
class Condition:
    """One operating condition with its tolerance.

    A number matches when value - lower <= asked <= value + upper; text matches
    when it is the same. Tolerances of text are 0.
    """

    name: str
    value: float | str
    lower: float = 0.0
    upper: float = 0.0

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return f"{self.name}={self.value!r}"
        if self.lower == self.upper:
            return f"{self.name}={self.value:g}" + (f"+-{self.upper:g}" if self.upper else "")
        return f"{self.name}={self.value:g}+{self.upper:g}-{self.lower:g}"


@dataclass(frozen=True)
class Constant:
    """An entry of the store. Its content never changes.

    id: number in its store
    begin, end: validity, ISO 8601 UTC with milliseconds; end None for open
    store, path: absolute root of the store, file relative to it
    dataset: group inside the file; the array is its member `data`
    blake3: hash of dtype, shape, dims and the array's bytes
    dims: names of the array's axes as stored
    conditions: sorted by name
    raw_location: the raw data it was made from, free text
    """

    id: int
    calibration: str
    pdu: str
    detector_type: str
    begin: str
    end: str | None
    store: str
    path: str
    dataset: str
    blake3: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    conditions: tuple[Condition, ...]
    description: str = ""
    raw_location: str = ""

    @property
    def file(self) -> Path:
        """Absolute path of its HDF5 file."""
        return Path(self.store) / self.path

    def __str__(self) -> str:
        return f"constant {self.id} ({self.calibration} of {self.pdu}, from {self.begin})"

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `from_dict` and `load_pinned` take it."""
        content = asdict(self)
        return content | {name: list(content[name]) for name in ("dims", "shape", "conditions")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Constant:
        """The entry that `to_dict` wrote; BadParameter if a field is missing.

        Other keys are passed over: a plan may note beside a constant what it is for.
        """
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in content]:
            raise BadParameter(f"not a pinned constant: it has no {', '.join(missing)}")
        lists = {
            "dims": tuple(content["dims"]),
            "shape": tuple(content["shape"]),
            "conditions": tuple(Condition(**c) for c in content["conditions"]),
        }
        return cls(**{name: content[name] for name in names} | lists)


def checked_conditions(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """The conditions with valid names and numbers as floats, sorted by name.

    Raises BadParameter for a name given twice, a negative tolerance, a number
    that is not finite, or a tolerance of a text.
    """
    found: dict[str, Condition] = {}
    for c in conditions:
        name = checked_name("condition", c.name)
        if name in found:
            raise BadParameter(f"condition {name!r} is given twice")
        lower, upper = (checked_number(f"tolerance of {name!r}", t) for t in (c.lower, c.upper))
        if lower < 0 or upper < 0:
            raise BadParameter(f"condition {name!r}: tolerances can't be negative, got -{lower:g} +{upper:g}")
        if isinstance(c.value, str):
            if lower or upper:
                raise BadParameter(f"condition {name!r} is text ({c.value!r}) and can't have a tolerance")
            found[name] = Condition(name, checked_text(f"condition {name!r}", c.value))
        else:
            found[name] = Condition(name, checked_number(f"condition {name!r}", c.value), lower, upper)
    return tuple(found[name] for name in sorted(found))


def checked_dims(dims: Sequence[str], shape: Sequence[int]) -> tuple[str, ...]:
    """Axis names, if there is one for each axis and none twice."""
    if isinstance(dims, str):
        raise BadParameter(f"dims={dims!r} must be a list of axis names")
    names = tuple(checked_name("dims", name) for name in dims)
    if len(names) != len(shape):
        raise BadParameter(
            f"dims names {len(names)} axes ({', '.join(names)}), "
            f"but the array has {len(shape)}: shape {tuple(shape)}"
        )
    if len(set(names)) != len(names):
        raise BadParameter(f"dims names an axis twice: {', '.join(names)}")
    return names
