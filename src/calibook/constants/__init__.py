"""The store of calibration constants: put, find by conditions and time, freeze, verify."""

from calibook.constants.axes import as_stored, as_used, contiguous, seen_as_used
from calibook.constants.entry import Condition, Constant
from calibook.constants.file import load_pinned
from calibook.constants.store import Store

__all__ = [
    "Condition",
    "Constant",
    "Store",
    "as_stored",
    "as_used",
    "contiguous",
    "load_pinned",
    "seen_as_used",
]
