"""What is put stays as it is, in the facility's layout, and is checked on every read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from calibook.constants import Condition, Constant, Store, load_pinned
from calibook.errors import BadParameter, ConstantDamaged, StoreUnusable
from calibook.files import blake3


def test_put_gives_the_array_back(store, offset, facts):
    constant = store.put(
        offset, **facts, description="dark “run” 4 µs", raw_location="proposal:700001 runs:1 2 3"
    )
    assert store.get(constant.id) == constant == store.entries()[0]
    loaded = store.load(constant)
    assert loaded.dtype == offset.dtype and np.array_equal(loaded, offset)
    assert constant.begin == "2026-11-22T18:07:13.532+00:00" and constant.end is None
    assert [c.name for c in constant.conditions] == ["Integration Time", "Sensor Bias Voltage"]


@pytest.mark.parametrize("dtype", ["u1", "bool", ">f4", "<u4", "f2", "i8"])
def test_dtypes_survive(store, facts, dtype):
    array = np.arange(24).reshape(2, 3, 2, 2).astype(dtype)
    loaded = store.load(store.put(array, **facts))
    assert loaded.dtype == np.dtype(dtype).newbyteorder("<") and np.array_equal(loaded, array)


def test_values_that_are_not_finite_survive(store, facts):
    array = np.array([[np.nan, np.inf], [-np.inf, -0.0]]).reshape(2, 2, 1, 1)
    assert store.load(store.put(array, **facts)).tobytes() == array.tobytes()


def test_a_view_in_another_memory_order_is_the_same_constant(store, offset, facts):
    fortran = np.asfortranarray(offset)
    assert store.put(fortran, **facts) == store.put(offset, **facts)


def test_extra_reads_array_and_dimension_names(store, offset, facts):
    from extra.calibration import SingleConstant

    c = store.put(offset, **facts)
    read = SingleConstant(path=Path(c.path), dataset=c.dataset, ccv_id=c.id, pdu_name=c.pdu)
    assert read.dimension_names(store.folder) == facts["dims"]
    assert np.array_equal(read.ndarray(store.folder), offset)


def test_layout_is_the_facilitys(store, offset, facts):
    c = store.put(offset, **facts)
    before = datetime.now(UTC).timestamp()
    type_folder, unit_folder, name = Path(c.path).parts[2:]
    assert c.path.startswith("xfel/cal/")
    assert (type_folder, unit_folder) == ("jungfrau-type", "jungfrau_m035")
    assert c.dataset == "/Jungfrau_M035/Offset10Hz/0"
    # The file name carries the time of injection, which was just now.
    assert abs(float(name.removeprefix("cal.").removesuffix(".h5")) - before) < 60


def test_the_same_content_twice_is_one_entry(store, offset, facts):
    first = store.put(offset, **facts)
    assert store.put(offset, **facts) == first
    assert store.put(offset, **facts, description="other words") == first
    assert len(store.entries()) == len(list(store.folder.glob("xfel/**/*.h5"))) == 1


def test_other_content_is_another_entry(store, offset, facts):
    changes = [
        {"pdu": "Jungfrau_M036"},
        {"calibration": "Noise10Hz"},
        {"begin": "2026-11-22T18:07:13.533+00:00"},
        {"end": "2027-01-01"},
        {"conditions": [Condition("Sensor Bias Voltage", 180)]},
        {"conditions": [*facts["conditions"][:1], Condition("Integration Time", 10, 0.5, 0.5)]},
        {"dims": ("slow_scan", "fast_scan", "cell", "gain")},
    ]
    ids = {store.put(offset, **facts).id, store.put(offset + 1, **facts).id}
    ids |= {store.put(offset, **{**facts, **change}).id for change in changes}
    assert len(ids) == len(changes) + 2 == len({c.path for c in store.entries()})
    assert store.verify() == []


def test_file_bytes_depend_on_the_constant_alone(tmp_path, offset, facts):
    files = [Store(tmp_path / name).put(offset, **facts).file for name in ("a", "b")]
    assert files[0].name != files[1].name
    assert blake3(files[0]) == blake3(files[1])


def test_any_changed_byte_of_the_array_is_noticed(store, offset, facts):
    c = store.put(offset, **facts)
    content = bytearray(c.file.read_bytes())
    start = content.index(offset.tobytes()[:64])
    for position in (start, start + offset.nbytes // 2, start + offset.nbytes - 1):
        damaged = bytearray(content)
        damaged[position] ^= 1
        c.file.write_bytes(damaged)
        with pytest.raises(ConstantDamaged) as caught:
            store.load(c)
        assert f"constant {c.id} " in str(caught.value) and str(c.file) in str(caught.value)
        assert "content" in str(caught.value)
        with pytest.raises(ConstantDamaged):
            load_pinned(c.to_dict())
        assert len(store.verify()) == 1
    c.file.write_bytes(content)
    assert store.verify() == [] and np.array_equal(store.load(c), offset)


def test_every_changed_byte_of_the_file_is_noticed_or_harmless(store, facts):
    """A flipped byte outside the array is an error too, or the file still says exactly what was put."""
    array = np.arange(4.0).reshape(2, 2, 1, 1)
    c = store.put(array, **facts)
    content = c.file.read_bytes()
    noticed = 0
    for position in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        c.file.write_bytes(damaged)
        try:
            assert np.array_equal(store.load(c), array)
        except ConstantDamaged:
            noticed += 1
    assert noticed > 10


def test_changed_attributes_and_shape_are_named(store, offset, facts):
    import h5py

    c = store.put(offset, **facts)
    with h5py.File(c.file, "r+") as f:
        f[c.dataset].attrs["begin"] = "2020-01-01T00:00:00.000+00:00"
    with pytest.raises(ConstantDamaged, match=r"begin .was .2026.*is .2020"):
        store.load(c)
    with h5py.File(c.file, "r+") as f:
        del f[c.dataset]["data"]
        f[c.dataset].create_dataset("data", data=offset[:8]).attrs["dims"] = list(facts["dims"])
    with pytest.raises(ConstantDamaged, match="shape"):
        store.load(c)


@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "text"])
def test_unreadable_files_are_damage(store, offset, facts, how):
    c = store.put(offset, **facts)
    if how == "missing":
        c.file.unlink()
    else:
        content = c.file.read_bytes()
        c.file.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"no"}[how])
    with pytest.raises(ConstantDamaged, match=f"constant {c.id} .*{c.file.name}"):
        store.load(c)


def test_putting_again_heals_a_missing_file(store, offset, facts):
    c = store.put(offset, **facts, description="words")
    before = blake3(c.file)
    c.file.unlink()
    assert store.put(offset, **facts) == c
    assert blake3(c.file) == before and store.verify() == []


def test_pinned_constants_load_without_the_index(store, offset, facts):
    entry = json.loads(json.dumps({**store.put(offset, **facts).to_dict(), "karabo_da": "JNGFR01"}))
    for file in store.folder.glob("index.sqlite*"):
        file.unlink()
    assert np.array_equal(load_pinned(entry), offset)
    assert Constant.from_dict(entry).to_dict() | {"karabo_da": "JNGFR01"} == entry
    del entry["blake3"]
    with pytest.raises(BadParameter, match="blake3"):
        load_pinned(entry)


def test_times_are_kept_in_utc_with_milliseconds(store, offset, facts):
    moment = datetime(2026, 11, 22, 19, 7, 13, 532_999, timezone(timedelta(hours=1)))
    texts = ["2026-11-22T18:07:13.532Z", "2026-11-22 19:07:13.532+01:00", "2026-11-22 18:07:13.532"]
    constants = {store.put(offset, **{**facts, "begin": begin}) for begin in [moment, *texts]}
    assert [c.begin for c in constants] == ["2026-11-22T18:07:13.532+00:00"]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"pdu": "../x"}, "pdu"),
        ({"pdu": ""}, "pdu"),
        ({"pdu": "a/b"}, "pdu"),
        ({"pdu": ".hidden"}, "pdu"),
        ({"pdu": "a\nb"}, "control"),
        ({"calibration": "Offset\0"}, "calibration"),
        ({"detector_type": ".."}, "detector_type"),
        ({"detector_type": "a\\b"}, "detector_type"),
        ({"begin": "yesterday"}, "begin='yesterday'"),
        ({"end": "2020-01-01"}, "must be after"),
        ({"dims": ("fast_scan", "slow_scan")}, "2 axes"),
        ({"dims": ("fast_scan", "fast_scan", "cell", "gain")}, "twice"),
        ({"conditions": [Condition("a", 1), Condition("a", 2)]}, "twice"),
        ({"conditions": [Condition("a", float("nan"))]}, "finite"),
        ({"conditions": [Condition("a", 1, -1)]}, "negative"),
        ({"conditions": [Condition("a", "text", 1)]}, "tolerance"),
        ({"conditions": [Condition("a/b", 1)]}, "a/b"),
        ({"description": "x" * 70_000}, "description"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(store, offset, facts, change, words):
    with pytest.raises(BadParameter, match=words):
        store.put(offset, **{**facts, **change})
    assert not store.folder.exists()


@pytest.mark.parametrize(
    "array", [np.zeros((0, 1, 1, 1)), np.array(1.0), np.array([["a"]]), np.zeros((1, 1, 1, 1), "c8")]
)
def test_arrays_that_are_no_constants_are_refused(store, facts, array):
    with pytest.raises(BadParameter):
        store.put(array, **{**facts, "dims": facts["dims"][: array.ndim]})


def test_a_store_that_is_not_there_holds_nothing(store, asked):
    assert store.entries() == [] and store.find(**asked) is None and store.verify() == []
    assert "no constants yet" in store.why_not(**asked)
    assert store.frozen_sets() == {} and store.assignments() == []
    with pytest.raises(BadParameter, match="no constant 1"):
        store.get(1)
    assert not store.folder.exists()


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CALIBOOK_STORE", str(tmp_path / "mine"))
    assert Store().folder == tmp_path / "mine"
    monkeypatch.delenv("CALIBOOK_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Store().folder == tmp_path / "calibook" / "constants"


def test_entries_by_calibration_unit_and_type(store, offset, facts):
    store.put(offset, **facts)
    noise = store.put(offset, **{**facts, "calibration": "Noise10Hz"})
    other = store.put(offset, **{**facts, "pdu": "AGIPD_M1", "detector_type": "AGIPD-Type"})
    assert store.entries("Noise10Hz") == [noise]
    assert store.entries(pdu="AGIPD_M1") == store.entries(detector_type="AGIPD-Type") == [other]
    assert store.entries("Noise10Hz", "AGIPD_M1") == []


def test_a_moved_store_is_read_where_it_lies_now(store, offset, facts, tmp_path):
    c = store.put(offset, **facts)
    store.folder.rename(tmp_path / "moved")
    moved = Store(tmp_path / "moved")
    assert moved.get(c.id) == replace(c, store=str(tmp_path / "moved"))
    assert np.array_equal(moved.load(c), offset)


def test_an_index_from_a_later_version_is_refused(store, offset, facts):
    import sqlite3

    store.put(offset, **facts)
    with sqlite3.connect(store.folder / "index.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(BadParameter, match="layout 99"):
        store.entries()


def test_an_index_that_cannot_be_opened_says_so(store):
    (store.folder / "index.sqlite").mkdir(parents=True)
    with pytest.raises(StoreUnusable, match=r"index\.sqlite"):
        store.entries()


def test_a_file_system_that_refuses_the_write_ahead_log(store, offset, facts, monkeypatch, caplog):
    """The store works with the ordinary journal: on shared file systems, and where WAL is refused."""
    import sqlite3

    from calibook.constants import index

    monkeypatch.setattr(index, "_file_system", lambda folder: "nfs4")
    c = store.put(offset, **facts)
    with sqlite3.connect(store.folder / "index.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert store.entries() == [c]

    class Refusing:
        def execute(self, command):
            answer = "delete" if "journal_mode" in command else 0
            return type("Cursor", (), {"fetchone": staticmethod(lambda: (answer,))})

    monkeypatch.setattr(index, "_file_system", lambda folder: "strange")
    index._journal(Refusing(), store.folder)
    assert "refuses SQLite's write-ahead log" in caplog.text


def test_file_names_are_unique_when_the_clock_stands_still_or_goes_back(store, offset, facts, monkeypatch):
    import time

    for i, moment in enumerate([5_000_000_000_000, 5_000_000_000_000, 4_000_000_000_000]):
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment)
        store.put(offset + i, **facts)
    names = [c.file.name for c in store.entries()]
    assert names == ["cal.5000.000000.h5", "cal.5000.000001.h5", "cal.5000.000002.h5"]
    assert store.verify() == []


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").touch()
    for path in ("file", "file/store"):
        with pytest.raises(BadParameter, match=r"store=.*file is no folder"):
            Store(tmp_path / path)
