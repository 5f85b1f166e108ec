"""The groups METADATA and INDEX that every file of a run has (format version 1.2).

METADATA lists the sources of the file; INDEX lists its trains, and tells for
each source and train which entries on axis 0 of the data belong to it.

A source with its index group, e.g. "FXE_XAD_JF1M/DET/JNGFR01:daqOutput/data",
is called an index path here. Control sources have no group: their index path
is the device, e.g. "FXE_XAD_JF1M/DET/CONTROL".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import h5py
import numpy as np

FORMAT_VERSION = "1.2"
TIME_SERVER = -1
"""`INDEX/origin` of a train whose ID came from the time server."""

_VLEN_BYTES = h5py.special_dtype(vlen=bytes)
_SOURCE_LISTS = ("dataSourceId", "root", "deviceId")
_TRAIN_DATASETS = {"trainId": "u8", "timestamp": "u8", "flag": "i4"}


def write_metadata(
    h5file: h5py.File,
    sources: Iterable[str],
    *,
    run: int,
    sequence: int,
    proposal: int,
    created: str,
    updated: str = "",
    sample: str = "No Sample",
    run_type: str = "",
    daq_library: str = "",
    karabo_framework: str = "",
) -> None:
    """Write the group METADATA of a new file.

    sources: "INSTRUMENT/{source}/{group}" and "CONTROL/{device}"; stored sorted
    created, updated: `YYYYMMDDTHHMMSSZ`; given by the caller, because the wall
        clock would make two equal runs differ. `updated` defaults to `created`.
    """
    group = h5file.create_group("METADATA")
    texts = {
        "creationDate": created,
        "daqLibrary": daq_library,
        "dataFormatVersion": FORMAT_VERSION,
        "karaboFramework": karabo_framework,
        "runType": run_type,
        "sample": sample,
        "updateDate": updated or created,
    }
    for name, text in texts.items():
        group.create_dataset(name, data=[text.encode()], dtype=_VLEN_BYTES)
    for name, number in {"proposalNumber": proposal, "runNumber": run, "sequenceNumber": sequence}.items():
        group.create_dataset(name, data=np.array([number], "u4"))
    _write_source_lists(group.create_group("dataSources"), sorted(sources))


def write_index(
    h5file: h5py.File,
    train_ids: np.ndarray,
    timestamps: np.ndarray,
    flags: np.ndarray,
    counts: Mapping[str, np.ndarray],
) -> None:
    """Write the group INDEX of a new file.

    train_ids: u8 (T,), strictly increasing
    timestamps: u8 (T,), ns since 1970 UTC
    flags: i4 (T,), 1 = good, 0 = suspect
    counts: {index path: entries of each train (T,)}
    """
    group = h5file.create_group("INDEX")
    for name, values in zip(_TRAIN_DATASETS, (train_ids, timestamps, flags), strict=True):
        group.create_dataset(name, data=np.asarray(values, _TRAIN_DATASETS[name]))
    group.create_dataset("origin", data=np.full(len(train_ids), TIME_SERVER, "i4"))
    for path, per_train in counts.items():
        _write_counts(group, path, per_train)


def copy_metadata(
    raw: h5py.File, target: h5py.File, sources: Mapping[str, str], aliases: Iterable[str] = ()
) -> None:
    """Carry METADATA over to a corrected file, dates and format version included.

    sources: {index path in raw: index path in target}; sources that are not
        named are left out
    aliases: further index paths of the target
    """
    group = target.create_group("METADATA")
    for name, dataset in raw["METADATA"].items():
        if isinstance(dataset, h5py.Dataset) and name not in _SOURCE_LISTS:
            group.create_dataset(name, data=dataset[()], dtype=dataset.dtype)
    lists = group.create_group("dataSources") if "dataSources" in raw["METADATA"] else group
    _write_source_lists(lists, [f"INSTRUMENT/{path}" for path in (*sources.values(), *aliases)])


def copy_index(
    raw: h5py.File,
    target: h5py.File,
    sources: Mapping[str, str],
    counts: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Carry INDEX over to a corrected file, without the padding of raw files.

    The entries of the trains then follow each other without gaps, whatever
    their places in the raw file.

    sources: {index path in raw: index path in target}
    counts: {index path in raw: entries of each train (T,)}, where the target has others
    """
    old, new = raw["INDEX"], target.create_group("INDEX")
    n_trains = int(np.count_nonzero(old["trainId"][()]))
    for name in _TRAIN_DATASETS:
        if name in old:
            new.create_dataset(name, data=old[name][:n_trains])
    if "origin" in old:
        # It counts in the raw file's list of sources, most of which are not in the target.
        new.create_dataset("origin", data=np.full(n_trains, TIME_SERVER, "i4"))
    for old_path, new_path in sources.items():
        stored = old[f"{old_path}/count"][:n_trains]
        _write_counts(new, new_path, (counts or {}).get(old_path, stored))


def source_ids(h5file: h5py.File) -> list[str]:
    """Sources of a file: "INSTRUMENT/{source}/{group}" and "CONTROL/{device}"."""
    metadata = h5file["METADATA"]
    # Until format 1.0 the lists lay directly in METADATA.
    lists = metadata.get("dataSources", metadata)
    return [source.decode() for source in lists["dataSourceId"][()] if source]


def _write_source_lists(group: h5py.Group, sources: list[str]) -> None:
    roots, devices = zip(*(source.split("/", 1) for source in sources), strict=True) if sources else ((), ())
    for name, values in zip(_SOURCE_LISTS, (sources, roots, devices), strict=True):
        group.create_dataset(name, data=[value.encode() for value in values], dtype=_VLEN_BYTES)


def _write_counts(index: h5py.Group, path: str, counts: np.ndarray) -> None:
    """Write first and count of a source. A train without data carries the running offset, too."""
    counts = np.asarray(counts, "u8")
    index.create_dataset(f"{path}/first", data=np.cumsum(counts, dtype="u8") - counts)
    index.create_dataset(f"{path}/count", data=counts)
