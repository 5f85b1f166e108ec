"""A page for each room of the package, with its public modules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

from rest import heading, plain

ROOMS = {
    "detectors": "What each detector is: facts, no files.",
    "kernels": "Arrays in, arrays out.",
    "runs": "Raw runs in, corrected runs out.",
    "constants": "The store of calibration constants.",
    "simulation": "Photons to raw runs, with the truth beside them.",
    "calibration": "The few calls that a notebook makes.",
    "procedures": "A notebook as a function of its parameters.",
    "jobs": "Plans, tasks, states, records.",
    "reports": "Executed notebooks and figures to PDF, HTML and verdict.",
}


def contents() -> dict[str, str]:
    """One page per room, one for what all rooms share, and the index of them."""
    pages = {f"api/{room}.rst": _room(room, about) for room, about in ROOMS.items()}
    pages["api/shared.rst"] = heading("errors, files") + "".join(
        _module(importlib.import_module(f"calibook.{name}")) for name in ("errors", "files")
    )
    entries = "\n".join(f"   {name}" for name in [*ROOMS, "shared"])
    pages["api/index.rst"] = (
        f"{heading('API reference')}\nThe public functions and classes, room by room. What a room stands on, "
        "`make lint` checks: jobs, reports and procedures know no detector, nothing knows the command line. "
        "Arrays are described with axes, dtype and unit.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n{entries}\n"
    )
    return pages


def _room(room: str, about: str) -> str:
    package = importlib.import_module(f"calibook.{room}")
    found = pkgutil.walk_packages(package.__path__, f"calibook.{room}.")
    modules = [importlib.import_module(name) for name in sorted(f.name for f in found if not f.ispkg)]
    return f"{heading(room)}\n{plain(about)}\n\n" + "".join(_module(m) for m in modules if _has_api(m))


def _module(module: ModuleType) -> str:
    options = "   :members:\n   :ignore-module-all:\n"
    name = module.__name__
    return f"{heading(name.split('.', 2)[-1], '-')}\n`{name}`\n\n.. automodule:: {name}\n{options}\n"


def _has_api(module: ModuleType) -> bool:
    """Whether a module has public functions or classes of its own; compiled ones are not for callers."""
    own = [item for name, item in vars(module).items() if not name.startswith("_")]
    return any(
        (inspect.isfunction(item) or inspect.isclass(item)) and item.__module__ == module.__name__
        for item in own
    )
