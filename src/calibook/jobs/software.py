"""What the results were made with."""

from __future__ import annotations

import platform
from functools import cache

from calibook import __version__

# What computes, reads and writes: another version of these may give other bytes.
PACKAGES = ("numpy", "numba", "h5py", "isal", "extra-data", "extra-geom", "papermill", "ipykernel")


@cache
def software_versions() -> dict[str, str]:
    """Versions of calibook, Python, HDF5 and the packages that matter, {name: version}."""
    from importlib.metadata import PackageNotFoundError, version

    import h5py

    found = {"calibook": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "hdf5": h5py.version.hdf5_version}
