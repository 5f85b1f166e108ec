"""Truth kept beside simulated runs: `truth/R0004-JNGFR01.h5`.

The group `detector` has the fields of the module's truth, the group `photons`
those of the run's photons; the detector's module `<name>_truth` describes them.
Every dataset names its axes in the attribute `dims`, and its unit in `unit`;
the run's settings are attributes of the file. Truth is not in the run's folder:
readers open every file there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py

from calibook.errors import BadInput
from calibook.files import whole_file
from calibook.runs.names import FileName

_DETECTOR = "detector"
_LARGE = 4096  # values; smaller datasets are not worth compressing


def truth_path(out_folder: Path | str, run: int, aggregator: str) -> Path:
    """Where the truth of a run's module is: `out_folder/truth/R0004-JNGFR01.h5`."""
    name = str(FileName("RAW", run, aggregator, 0))
    return Path(out_folder) / "truth" / f"{name.split('-', 1)[1].rsplit('-', 1)[0]}.h5"


def write_truth(target: Path, detector: str, maps: Any, photons: Any, settings: Mapping[str, Any]) -> None:
    """Write a truth file; settings become attributes.

    detector: its name, e.g. "jungfrau"
    maps, photons: of the detector's types of truth
    """
    with whole_file(target) as unfinished, h5py.File(unfinished, "w") as h5file:
        h5file.attrs.update({_DETECTOR: detector, **settings})
        for group, content in (("detector", maps), ("photons", photons)):
            for item in fields(content):
                dataset = _write(h5file, f"{group}/{item.name}", getattr(content, item.name))
                dataset.attrs["dims"] = list(item.metadata["dims"])
                dataset.attrs["unit"] = item.metadata["unit"]


def _write(h5file: h5py.File, path: str, values: Any) -> h5py.Dataset:
    if values.ndim < 2 or values.size < _LARGE:
        return h5file.create_dataset(path, data=values)
    chunks = (1,) * (values.ndim - 2) + values.shape[-2:]
    return h5file.create_dataset(
        path, data=values, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True
    )


def read_truth(path: Path | str) -> tuple[Any, Any]:
    """Detector truth and photon sums of a module's run, of the detector's types of truth.

    Raises BadInput if the file is missing or is no truth file.
    """
    try:
        with h5py.File(path, "r") as h5file:
            types = _types_of(h5file.attrs[_DETECTOR])
            maps, photons = (
                kind(**{item.name: h5file[f"{group}/{item.name}"][()] for item in fields(kind)})
                for group, kind in zip(("detector", "photons"), types, strict=True)
            )
    except (OSError, KeyError, ImportError) as error:
        raise BadInput(path, f"no truth of a simulation can be read from it: {error}") from None
    return maps, photons


def true_photon_energy(path: Path | str) -> float:
    """keV, with which a module's run was simulated. Raises BadInput as `read_truth` does."""
    try:
        with h5py.File(path, "r") as h5file:
            return float(h5file.attrs["photon_energy"])
    except (OSError, KeyError) as error:
        raise BadInput(path, f"no truth of a simulation can be read from it: {error}") from None


def _types_of(detector: str) -> tuple[type, type]:
    if not str(detector).isidentifier():
        raise KeyError(f"{detector!r} is no detector's name")
    module = import_module(f"calibook.simulation.{detector}_truth")
    return module.DETECTOR_TRUTH, module.PHOTON_TRUTH
