"""Truth kept beside simulated runs: `truth/R0004-JNGFR01.h5`.

The group `detector` has the maps of `JungfrauTruth`, the group `photons` the
sums of `PhotonTruth`. Every dataset names its axes in the attribute `dims`, and
its unit in `unit`. The noise is that of all cells: its cell axis has length 1.
Truth is not in the run's folder: readers open every file there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from calibook.errors import BadInput
from calibook.files import whole_file
from calibook.runs.names import FileName
from calibook.simulation.truth import JungfrauTruth, PhotonTruth

_PIXEL = ("slow_scan", "fast_scan")
_DIMS = {
    "detector/kinds": _PIXEL,
    "photons/saturated": _PIXEL,
    "photons/first": ("frame", *_PIXEL),
    "photons/frames": ("gain", *_PIXEL),
    "photons/photons": ("gain", *_PIXEL),
}
_UNITS = {"detector/offset": "ADU", "detector/gain": "ADU/keV", "detector/noise": "ADU"}


def truth_path(out_folder: Path | str, run: int, aggregator: str) -> Path:
    """Where the truth of a run's module is: `out_folder/truth/R0004-JNGFR01.h5`."""
    name = str(FileName("RAW", run, aggregator, 0))
    return Path(out_folder) / "truth" / f"{name.split('-', 1)[1].rsplit('-', 1)[0]}.h5"


def write_truth(
    target: Path, detector: JungfrauTruth, photons: PhotonTruth, settings: Mapping[str, Any]
) -> None:
    """Write a truth file; settings become attributes."""
    with whole_file(target) as unfinished, h5py.File(unfinished, "w") as h5file:
        h5file.attrs.update(settings)
        detector = replace(detector, noise=detector.noise[:1])
        for group, content in (("detector", detector), ("photons", photons)):
            for item in fields(content):
                _write(h5file, f"{group}/{item.name}", getattr(content, item.name))


def _write(h5file: h5py.File, path: str, values: Any) -> None:
    leading = (1,) * (values.ndim - 2)
    options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    if not values.size:
        options = {}
    dataset = h5file.create_dataset(
        path, data=values, chunks=(*leading, *values.shape[-2:]) if options else None, **options
    )
    dataset.attrs["dims"] = list(_DIMS.get(path, ("cell", "gain", *_PIXEL)))
    dataset.attrs["unit"] = _UNITS.get(path, "")


def read_truth(path: Path | str) -> tuple[JungfrauTruth, PhotonTruth]:
    """Detector truth and photon sums of a module's run.

    Raises BadInput if the file is missing or is no truth file.
    """
    try:
        with h5py.File(path, "r") as h5file:
            detector, photons = (
                {item.name: h5file[f"{group}/{item.name}"][()] for item in fields(kind)}
                for group, kind in (("detector", JungfrauTruth), ("photons", PhotonTruth))
            )
    except (OSError, KeyError) as error:
        raise BadInput(path, f"no truth of a simulation can be read from it: {error}") from None
    detector["noise"] = np.broadcast_to(detector["noise"], detector["offset"].shape)
    return JungfrauTruth(**detector), PhotonTruth(**photons)
