"""`calibook constants` as a user types it: exit codes, messages, what ends up in the store."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from calibook.cli.main import main
from calibook.constants import Condition, Store
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.runs.raw_writer import RunPart, raw_file_writer, write_control_file

PUT = ["--calibration", "Offset10Hz", "--dims", "gain,slow_scan,fast_scan"]
WHOSE = ["--unit", "Jungfrau_M035", "--begin", "2026-11-22T18:07:13.532+00:00"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A store's folder, named by CALIBOOK_STORE."""
    monkeypatch.setenv("CALIBOOK_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def type_in(capsys, folder):
    """Run `calibook constants ...`: (exit code, standard output, standard error)."""

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main(["constants", *map(str, args)])
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return ended.value.code, output.out, output.err

    return run


@pytest.fixture
def array():
    """An offset: f4 (gain 3, slow_scan 8, fast_scan 16)."""
    return np.random.default_rng(1).normal(3000, 100, (3, 8, 16)).astype("f4")


@pytest.fixture
def npy(tmp_path, array):
    np.save(tmp_path / "offset.npy", array)
    return tmp_path / "offset.npy"


def test_put_list_show(type_in, npy, array, folder):
    conditions = [
        *("--condition", "Sensor Bias Voltage=180"),
        *("--condition", "Integration Time=10+-0.5"),
        *("--condition", "Memory Cells = 1"),
    ]
    code, out, err = type_in("put", npy, *PUT, *WHOSE, *conditions, "--description", "by hand")
    assert code == 0 and "constant 1 (Offset10Hz of Jungfrau_M035" in out
    assert "Gain mode" in err  # not given
    (c,) = Store(folder).entries()
    assert (
        c.dims == ("fast_scan", "slow_scan", "cell", "gain") and c.shape == (16, 8, 1, 3) and c.dtype == "<f8"
    )
    assert c.detector_type == "jungfrau-Type" and c.description == "by hand"
    assert c.conditions == (
        Condition("Integration Time", 10.0, 0.5, 0.5),
        Condition("Memory Cells", 1.0),
        Condition("Sensor Bias Voltage", 180.0),
    )
    assert np.array_equal(Store(folder).load(c)[:, :, 0].T, array)

    assert type_in("put", npy, *PUT, *WHOSE, *conditions)[0] == 0
    code, out, _ = type_in("list", "--json")
    assert [row["id"] for row in json.loads(out)] == [1]
    code, out, _ = type_in("list")
    assert "Integration Time=10+-0.5" in out and "gain 3" in out
    assert "No such constants" in type_in("list", "--unit", "other")[1]

    code, out, _ = type_in("show", "1", "--json")
    shown = json.loads(out)
    assert shown["blake3"] == c.blake3 and shown["problem"] == ""
    assert [row["part"] for row in shown["statistics"]] == ["gain 0", "gain 1", "gain 2"]
    assert [row["mean"] for row in shown["statistics"]] == pytest.approx(array.mean((1, 2), dtype="f8"))
    assert "as it was put" in type_in("show", "1")[1]


def test_the_detectors_tolerance_is_the_default(type_in, npy, folder):
    type_in("put", npy, *PUT, *WHOSE, "--condition", "Integration Time=10")
    (c,) = Store(folder).entries()
    assert c.conditions == (Condition("Integration Time", 10.0, 0.01, 0.01),)


def test_put_from_hdf5(type_in, array, folder, tmp_path):
    with h5py.File(tmp_path / "maps.h5", "w") as f:
        f["psi/pedestal"] = array
    code, _, err = type_in("put", tmp_path / "maps.h5", "--dataset", "psi/pedestl", *PUT, *WHOSE)
    assert code == 2 and "did you mean 'psi/pedestal'" in err
    code, _, _ = type_in("put", tmp_path / "maps.h5", "--dataset", "/psi/pedestal", *PUT, *WHOSE)
    assert code == 0 and np.array_equal(Store(folder).load(Store(folder).get(1))[:, :, 0].T, array)


def test_put_by_position_asks_who_sits_there(type_in, npy, folder):
    whose = ["--detector", "FXE_XAD_JF1M", "--module-da", "JNGFR01", "--begin", "2026-02-01"]
    assign = [*whose[:4], "--unit", "Jungfrau_M035", "--begin", "2026-01-01"]
    assert type_in("put", npy, *PUT, *whose)[0] == 0
    assert type_in("assign", *assign)[0] == 0
    assert type_in("put", npy, *PUT, *whose)[0] == 0
    assert [c.pdu for c in Store(folder).entries()] == ["FXE_XAD_JF1M_JNGFR01", "Jungfrau_M035"]
    assert "Jungfrau_M035" in type_in("units")[1]
    assert json.loads(type_in("units", "--json")[1])[0]["begin"] == "2026-01-01T00:00:00.000+00:00"


@pytest.fixture
def raw_run(tmp_path):
    """Run 4 of a JUNGFRAU in burst mode, exposure 10 us, 180 V."""
    part = RunPart(
        4, 0, np.arange(10_000, 10_002, dtype="u8"), np.array([1, 2], "u8") * 1_700_000_000 * 10**9
    )
    control = {
        "highVoltage": np.array([180, 180], "u4"),
        "storageCells": np.int16(0),
        "exposureTime": np.float32(10e-6),
        "exposureTimeout": np.uint32(100),
        "settings": "gain0",
        "gainMode": "dynamic",
    }
    write_control_file(tmp_path / "raw" / "r0004", JUNGFRAU, "FXE_XAD_JF1M", part, control)
    frames = {"adc": np.zeros((2, 1, 512, 1024), "u2"), "gain": np.zeros((2, 1, 512, 1024), "u1")}
    per_frame = {name: np.zeros((2, 1), dtype) for name, dtype in JUNGFRAU.frame_keys.items()}
    with raw_file_writer(
        tmp_path / "raw" / "r0004", JUNGFRAU, "FXE_XAD_JF1M", 1, part, np.array([1, 1])
    ) as writer:
        writer.append(frames, per_frame)
    return tmp_path / "raw"


def test_put_with_the_conditions_of_a_run(type_in, npy, folder, raw_run):
    from calibook.runs.conditions import read_conditions

    where = ["--in-folder", raw_run, "--run", "4", "--module-da", "JNGFR01"]
    code, _, err = type_in("put", npy, *PUT, *where)
    assert code == 0, err
    code, _, err = type_in("put", npy, "--calibration", "RelativeGain10Hz", *PUT[2:], *where)
    assert code == 0, err
    offset, gain = Store(folder).entries()
    found = read_conditions(raw_run, 4, JUNGFRAU)
    asked = JUNGFRAU.conditions_of("Offset10Hz", found.conditions)
    assert {c.name for c in offset.conditions} - {c.name for c in gain.conditions} == {"Exposure timeout"}
    assert offset.pdu == "FXE_XAD_JF1M_JNGFR01" and offset.begin == "2023-11-14T22:13:20.000+00:00"
    assert (
        Store(folder).find(pdu=offset.pdu, calibration="Offset10Hz", conditions=asked, at=found.start)
        == offset
    )
    # The exposure time was read as 9.999999747; one that was set to 10 by hand matches too.
    assert Store(folder).find(
        pdu=offset.pdu,
        calibration="Offset10Hz",
        conditions={**asked, "Integration Time": 10},
        at=found.start,
    )
    # A condition given by hand goes before the run's.
    type_in("put", npy, *PUT, *where, "--condition", "Sensor Bias Voltage=120")
    assert Condition("Sensor Bias Voltage", 120.0) in Store(folder).get(3).conditions


BAD_PUTS = [
    (["--calibration", "Offset10H"], "did you mean 'Offset10Hz'"),
    (["--calibration", "../Offset", "--detector-type", "other-Type"], "calibration='../Offset'"),
    (["--dims", "gain,slow_scan"], "2 axes"),
    (["--dims", "gian,slow_scan,fast_scan"], "'gian'"),
    (["--unit", "../../x"], "pdu='../../x'"),
    (["--unit", "$(reboot)/x"], "pdu="),
    (["--unit", ""], "--unit"),
    (["--module-da", "JNGFR01"], "--module-da"),
    (["--detector-name", "jungfra"], "did you mean 'jungfrau'"),
    (["--detector-name", "__import__('os')"], "__import__"),
    (["--begin", "tomorrow"], "begin='tomorrow'"),
    (["--begin", ""], "--begin"),
    (["--end", "2020-01-01"], "after"),
    (["--condition", "Sensor Bias Voltag=180"], "did you mean 'Sensor Bias Voltage'"),
    (["--condition", "Sensor Bias Voltage"], "write it as"),
    (["--condition", "Sensor Bias Voltage=18O"], "'18O'"),
    (["--condition", "Sensor Bias Voltage=nan"], "'nan'"),
    (["--condition", "Sensor Bias Voltage=1e999"], "finite"),
    (["--condition", "Integration Time=10+-"], "'10+-'"),
    (["--condition", "Integration Time=10+--1"], "negative"),
    (["--condition", "Gain mode=1", "--condition", "Gain mode=2"], "twice"),
    (["--run", "4"], "--in-folder"),
    (["--run", "-1"], "--run"),
    (["--dataset", "x"], "dataset='x'"),
    (["--calibratoin", "x"], "--calibration"),
]


@pytest.mark.parametrize("change, words", BAD_PUTS)
def test_a_bad_put_ends_with_2_before_anything_is_written(type_in, npy, folder, change, words):
    code, _, err = type_in("put", npy, *PUT, *WHOSE, *change)
    assert code == 2 and words in err
    assert not folder.exists()


def test_files_that_hold_no_array(type_in, folder, tmp_path):
    for name, content, expected in (("a.npy", b"no", 1), ("a.h5", b"no", 1), ("a.txt", b"1 2", 2)):
        (tmp_path / name).write_bytes(content)
        code, _, err = type_in("put", tmp_path / name, *PUT, *WHOSE)
        assert code == expected and name in err
    # A pickle could run code when read.
    np.save(tmp_path / "p.npy", np.array([[{}]]), allow_pickle=True)
    code, _, err = type_in("put", tmp_path / "p.npy", *PUT, *WHOSE)
    assert code == 1 and "p.npy" in err
    assert type_in("put", tmp_path / "none.npy", *PUT, *WHOSE)[0] == 2
    assert not folder.exists()


def test_values_must_fit_the_kind_of_constant(type_in, tmp_path, folder):
    mask = ["--calibration", "BadPixelsDark10Hz", *PUT[2:], *WHOSE]
    for name, values in (("float", np.zeros((3, 8, 16))), ("minus", np.full((3, 8, 16), -1))):
        np.save(tmp_path / f"{name}.npy", values)
        assert type_in("put", tmp_path / f"{name}.npy", *mask)[0] == 2
    np.save(tmp_path / "words.npy", np.full((3, 8, 16), 1 << 31))
    assert type_in("put", tmp_path / "words.npy", *mask)[0] == 0
    assert Store(folder).get(1).dtype == "<u4" and (Store(folder).load(Store(folder).get(1)) == 1 << 31).all()


def test_a_type_without_facts_takes_the_array_as_it_is(type_in, npy, folder):
    args = ["--calibration", "OffsetCCD", *PUT[2:], *WHOSE, "--detector-type", "pnCCD-Type"]
    assert type_in("put", npy, *args, "--condition", 'Mode="a=b"')[0] == 0
    (c,) = Store(folder).entries()
    assert c.dtype == "<f4" and c.conditions == (Condition("Mode", "a=b"),)
    assert c.path.startswith("xfel/cal/pnccd-type/jungfrau_m035/cal.")


def test_freeze_and_frozen(type_in, npy, folder):
    type_in("put", npy, *PUT, *WHOSE)
    type_in("put", npy, *PUT, *WHOSE, "--end", "2027-01-01")
    assert type_in("freeze", "paper", "1")[0] == 0
    assert type_in("frozen")[1] == "paper: 1\n"
    assert type_in("freeze", "paper", "1", "2")[0] == 2
    assert type_in("freeze", "paper", "x")[0] == 2
    assert [row["id"] for row in json.loads(type_in("list", "--frozen", "paper", "--json")[1])] == [1]
    code, _, err = type_in("list", "--frozen", "papr")
    assert code == 2 and "did you mean 'paper'" in err


def test_damage_ends_with_1(type_in, npy, folder):
    type_in("put", npy, *PUT, *WHOSE)
    assert type_in("verify")[0] == 0
    file = Store(folder).get(1).file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # the last byte of the array, which lies at the end
    file.write_bytes(content)
    code, out, _ = type_in("verify")
    assert code == 1 and "constant 1 " in out and str(file) in out and "problems: 1" in out
    code, out, _ = type_in("show", "1")
    assert code == 1 and "damaged" in out
    assert json.loads(type_in("show", "1", "--json")[1])["problem"] != ""


def test_reindex(type_in, npy, folder):
    type_in("put", npy, *PUT, *WHOSE)
    before = type_in("list", "--json")[1]
    for file in folder.glob("index.sqlite*"):
        file.unlink()
    code, _, err = type_in("list")
    assert code == 1 and "reindex" in err
    assert type_in("reindex")[0] == 0
    assert type_in("list", "--json")[1] == before


def test_the_store_is_named_before_or_after_the_command(type_in, npy, folder, tmp_path):
    other = tmp_path / "other"
    assert type_in("put", npy, *PUT, *WHOSE, "--store", other)[0] == 0
    assert (
        type_in("list", "--store", other, "--json")[1]
        == type_in("--store", other, "list", "--json")[1]
        != "[]\n"
    )
    assert "No such constants" in type_in("list")[1] and not folder.exists()


def test_commands_that_cannot_be(type_in, folder, tmp_path):
    code, _, err = type_in("lst")
    assert code == 2 and "did you mean 'list'" in err
    for command in ("list", "verify", "frozen", "units", "reindex"):
        code, _, err = type_in(command, "--store", tmp_path / "nowhere")
        assert code == 2 and "nowhere" in err
    code, _, err = type_in("show", "7")
    assert code == 2 and "no constant 7" in err
    assert type_in("show", "seven")[0] == 2
    assert not (tmp_path / "nowhere").exists()
