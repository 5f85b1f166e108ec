"""Where the modules are: EXtra-geom geometries, from a file or a plain stack.

For pictures only. Nothing in a corrected file depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from calibook.detectors.base import Detector
from calibook.errors import BadParameter


def geometry_of(detector: Detector, modules: Iterable[int], geometry_file: str = ""):
    """(EXtra-geom geometry, module numbers in the order of its modules).

    modules: numbers as in the source names
    geometry_file: CrystFEL geometry of the whole detector; empty for that of
        EXtra-geom's example, or, for detectors whose modules are arranged anew in
        every experiment, modules stacked by number with the gap of a module border
    Raises BadParameter for a file that is no geometry of this detector.
    """
    import extra_geom

    # EXtra-geom names its classes after the detectors.
    kind = getattr(extra_geom, f"{detector.title}Geometry")
    if geometry_file:
        try:
            geometry = kind.from_crystfel_geom(geometry_file)
        except Exception as error:
            raise BadParameter(
                f"geometry_file={geometry_file!r}: not a CrystFEL geometry of {detector.title} ({error})"
            ) from error
    elif hasattr(kind, "from_module_positions"):
        return _stack(kind, detector, sorted(modules))
    else:
        geometry = kind.example()
    return geometry, list(range(detector.first_module, detector.first_module + geometry.n_modules))


def _stack(kind: Any, detector: Detector, numbers: list[int]):
    rows, columns = detector.module_shape
    step = rows + 40
    positions = [(-columns / 2, (len(numbers) / 2 - i - 1) * step) for i in range(len(numbers))]
    return kind.from_module_positions(positions), numbers
