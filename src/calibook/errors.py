"""What can go wrong, in the words that `calibook status` shows.

Every error that calibook raises on purpose is a CalibookError. Its `cause` is
the state in which a task ends when the error stops it.
"""

from __future__ import annotations


class CalibookError(Exception):
    """An error with a cause that a user can act on."""

    cause = "bug"


class BadParameter(CalibookError):
    """A parameter is unknown, mistyped, out of range or contradicts another."""

    cause = "bad parameter"


class BadInput(CalibookError):
    """A raw file can't be used: says which file, which dataset, which train.

    Parameters
    ----------
    file: path of the file
    why: what is wrong, in a few words
    dataset: path of the dataset inside the file, if one is to blame
    train: train ID, if one is to blame
    """

    cause = "bad input"

    def __init__(self, file, why: str, dataset: str = "", train: int | None = None):
        self.file, self.why, self.dataset, self.train = str(file), why, dataset, train
        parts = [f"{file}"]
        if dataset:
            parts.append(f"dataset {dataset}")
        if train is not None:
            parts.append(f"train {train}")
        super().__init__(f"{', '.join(parts)}: {why}")

    def __reduce__(self):
        return BadInput, (self.file, self.why, self.dataset, self.train)


class NoConstants(CalibookError):
    """The store has no constant for this detector unit, condition and time."""

    cause = "no constants"


class ConstantDamaged(CalibookError):
    """A constant's file is missing or its content is not what was put."""

    cause = "constant damaged"


class StoreUnusable(CalibookError):
    """The index of a store of constants can't be opened, read or written: rights, disk, locks."""

    cause = "store unusable"
