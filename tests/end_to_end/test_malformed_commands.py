"""Commands that are wrong: exit code 2, a helpful message, nothing written, nothing executed.

In the commands below RAW is a folder with four good runs, so that the one thing
wrong with a command is what its name says. A value that somebody smuggles code
in tries to make the file `canary`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from commands import calibook, corrected_file, put_constant
from frames import write_module

from calibook.cli.main import main

CANARY = "canary"
PYTHON = f"__import__('os').system('touch {CANARY}')"
SHELL = f"$(touch {CANARY})"


def command(procedure: str, required: dict[str, str], *more: str, **changed: str | None) -> list[str]:
    """A good command with some values changed, or left out (None), and more words at its end."""
    values = {name: value for name, value in {**required, **changed}.items() if value is not None}
    options = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]
    return [*procedure.split(), *options, *more]


def correct(*more: str, **changed: str | None) -> list[str]:
    required = {"in_folder": "RAW", "run": "4", "out_folder": "out"}
    return command("jungfrau correct", required, *more, **changed)


def dark(*more: str, **changed: str | None) -> list[str]:
    runs = {"run_high": "1", "run_medium": "2", "run_low": "3"}
    return command("jungfrau dark", {"in_folder": "RAW", "out_folder": "out", **runs}, *more, **changed)


def simulate(*more: str, **changed: str | None) -> list[str]:
    return command("simulate jungfrau", {"out_folder": "out", "run": "5", "trains": "2"}, *more, **changed)


def agipd(procedure: str, **changed: str | None) -> list[str]:
    return command(f"agipd {procedure}", {"in_folder": "RAW", "out_folder": "out"}, **changed)


def put(*more: str, **changed: str | None) -> list[str]:
    where = {"detector": "FXE_XAD_JF1M", "module_da": "JNGFR01", "in_folder": "RAW", "run": "1"}
    what = {"calibration": "Noise10Hz", "dims": "gain,slow_scan,fast_scan"}
    return command("constants put noise.npy", {**what, **where}, *more, **changed)


# {what is wrong: (command, what the message must say)}
MALFORMED: dict[str, tuple[list[str], tuple[str, ...]]] = {
    # names
    "no such detector": (["jungfrua", "correct"], ("'jungfrua'", "'jungfrau'")),
    "no such procedure": (["jungfrau", "corect"], ("'corect'", "'correct'")),
    "no such fixed command": (["constants", "lst"], ("'lst'", "'list'")),
    "no such detector to simulate": (["simulate", "jungfrauu"], ("'jungfrauu'", "'jungfrau'")),
    "unknown option": (correct("--colour", "red"), ("--colour", "no such option")),
    "misspelt option": (correct("--photon-energi", "9.3"), ("--photon-energi", "--photon-energy")),
    "option with underscores": (correct("--photon_energy", "9.3"), ("--photon_energy", "--photon-energy")),
    "misspelt option with =": (correct("--unitt=keV"), ("--unitt", "--unit")),
    "abbreviated option": (correct("--photon", "9.3"), ("--photon", "no such option")),
    "one dash": (["jungfrau", "correct", "-run", "4"], ("-run", "--run")),
    "what calibook fills in": (correct("--plan-file", "x"), ("--plan-file", "no such option")),
    "option twice": (correct("--run", "5"), ("--run", "2 times")),
    "a word alone": (correct("5"), ("'5'", "stands alone")),
    "option without value": (correct("--unit"), ("--unit", "ADU | keV | photons")),
    "option as a value": (correct(unit="--modules"), ("--unit", "'--modules'")),
    "code as an option": (correct(f"--{PYTHON}", "1"), ("no such option",)),
    # what is missing
    "required missing": (correct(run=None), ("--run", "required", "1..9999")),
    "several missing": (correct(in_folder=None, out_folder=None), ("--in-folder", "--out-folder")),
    "required empty": (correct(out_folder=""), ("--out-folder", "empty")),
    "dark run missing": (dark(run_low=None), ("--run-low", "required")),
    # numbers
    "word for a number": (correct(run="four"), ("--run", "'four'", "1..9999")),
    "fraction for a whole number": (correct(run="4.0"), ("--run", "'4.0'", "whole number")),
    "hexadecimal": (correct(run="0x4"), ("--run", "'0x4'")),
    "too small": (correct(run="0"), ("--run", "'0'", "1..9999")),
    "too large": (correct(run="10000"), ("--run", "'10000'", "1..9999")),
    "negative": (correct(run="-4"), ("--run", "'-4'")),
    "far too large": (correct(run="9" * 5000), ("--run",)),
    "other digits": (correct(run="４"), ("--run", "'４'")),
    "spaces around": (correct(run=" 4 "), ("--run", "' 4 '")),
    "Python for a number": (correct(run=PYTHON), ("--run", "__import__")),
    "shell for a number": (correct(run=SHELL), ("--run", "$(touch")),
    "shell after a number": (correct(run=f"4; touch {CANARY}"), ("--run", "'4; touch")),
    "lines after a number": (correct(run=f"4\n{PYTHON}"), ("--run", "1..9999")),
    "zero where above 0": (correct(photon_energy="0"), ("--photon-energy", "'0'", "> 0")),
    "not a number": (correct(photon_energy="nan"), ("--photon-energy", "'nan'", "> 0")),
    "infinite": (correct(photon_energy="1e999"), ("--photon-energy", "1e999")),
    "decimal comma": (correct(photon_energy="9,3"), ("--photon-energy", "'9,3'")),
    "unit in the number": (correct(photon_energy="9.3 keV"), ("--photon-energy", "'9.3 keV'")),
    "braces for a number": (correct(photon_energy="{photon_energy}"), ("--photon-energy", "{photon")),
    "share above 1": (correct(rounding_threshold="1.5"), ("--rounding-threshold", "'1.5'", "0..1")),
    "yes for true": (correct(common_mode="yes"), ("--common-mode", "'yes'", "true or false")),
    # lists
    "list of words": (correct(modules="one"), ("--modules", "'one'", "whole numbers")),
    "empty list": (correct(modules=""), ("modules", "[]", "it has 1")),
    "list with a hole": (correct(modules="1,,2"), ("--modules", "empty item")),
    "list in brackets": (correct(modules="[1]"), ("--modules", "'[1]'")),
    "range backwards": (correct(modules="2-1"), ("--modules", "2-1")),
    "endless range": (correct(modules="1-99999999999"), ("--modules", "items")),
    "module that is not there": (correct(modules="7"), ("modules", "7", "it has 1")),
    "sequence that is not there": (correct(sequences="3"), ("sequences", "3", "it has 0")),
    "misspelt mask": (correct(masks="WRONG_GAIN_VALU"), ("--masks", "did you mean WRONG_GAIN_VALUE")),
    "masks with a semicolon": (correct(masks="USER1;USER2"), ("--masks", "'USER1;USER2'", "USER1 | USER2")),
    # choices and texts
    "misspelt choice": (correct(unit="kev"), ("--unit", "'kev'", "did you mean keV")),
    "braces for a choice": (correct(unit="{unit}"), ("--unit", "'{unit}'", "ADU | keV | photons")),
    "path for a choice": (correct(strategy="../../etc"), ("--strategy", "'../../etc'", "closest | prior")),
    "lines in a text": (correct(karabo_id=f'X"\n{PYTHON}\n"'), ("--karabo-id", "line break")),
    "null byte in a text": (correct(karabo_id="FXE\0"), ("--karabo-id",)),
    "shell as detector": (correct(karabo_id=SHELL), ("karabo_id", SHELL, "FXE_XAD_JF1M")),
    "Python as detector": (correct(karabo_id=f'" + {PYTHON} + "'), ("karabo_id", "FXE_XAD_JF1M")),
    "misspelt detector": (correct(karabo_id="FXE_XAD_JF2M"), ("karabo_id", "FXE_XAD_JF2M", "FXE_XAD_JF1M")),
    "misspelt control device": (
        correct(control_source="FXE_XAD_JF1M/DET/CONTROLL"),
        ("control_source", "FXE_XAD_JF1M/DET/CONTROLL", "FXE_XAD_JF1M/DET/CONTROL"),
    ),
    "path as control device": (correct(control_source="../../../etc"), ("control_source", "../../../etc")),
    "unknown frozen set": (correct(frozen="it's {0}"), ("frozen", "it's {0}")),
    # folders
    "run that is not there": (correct(run="9"), ("run", "9", "1, 2, 3, 4")),
    "no such raw folder": (correct(in_folder="nowhere"), ("in_folder", "nowhere")),
    "raw folder outside": (correct(in_folder="../../../nowhere"), ("in_folder", "../../../nowhere")),
    "raw folder is a file": (correct(in_folder="noise.npy"), ("in_folder", "noise.npy")),
    "store is a file": (correct(store="noise.npy"), ("store", "noise.npy", "no folder")),
    "store below a file": (correct(store="noise.npy/store"), ("store", "noise.npy", "no folder")),
    "output into the raw run": (correct(out_folder="RAW/r0004/proc"), ("RAW/r0004", "input files")),
    "output into it by ..": (correct(out_folder="RAW/r0004/a/../../r0004"), ("RAW/r0004", "input files")),
    "output folder is a file": (correct(out_folder="noise.npy"), ("noise.npy", "is a file")),
    "work folder in the raw run": (correct("--work-folder", "RAW/r0004/w"), ("RAW/r0004", "input files")),
    "work folder is a file": (correct("--work-folder", "noise.npy"), ("noise.npy", "is a file")),
    "work folder below a file": (correct("--work-folder", "noise.npy/w"), ("noise.npy", "is a file")),
    "no such geometry file": (correct(geometry_file="no.geom"), ("geometry_file", "no.geom")),
    # how to run it
    "no workers": (correct("--workers", "0"), ("--workers", "0")),
    "workers in words": (correct("--workers", "two"), ("--workers", "two")),
    "unknown engine": (correct("--engine", "word"), ("--engine", "'word'", "typst", "latex")),
    # contradictions
    "one dark run for two stages": (dark(run_medium="1"), ("G0", "G1", "run of its own")),
    "limits of two stages": (dark(offset_low="1000,2000"), ("offset_low", "3")),
    "limits the wrong way round": (dark(noise_low="50,50,50"), ("noise", "50", "40")),
    "rounding what is no photons": (correct(round_photons="true"), ("round_photons", "unit", "photons")),
    "two baselines": (
        agipd("correct", run="4", blc_noise="true", blc_hmatch="true"),
        ("blc_hmatch", "choose one"),
    ),
    "stripes nowhere": (agipd("correct", run="4", blc_stripes="true"), ("blc_stripe_rows",)),
    "one flat field twice": (agipd("flatfield", runs="4,4"), ("runs=[4, 4]", "each run once")),
    "a scan of seven runs": (agipd("pc", runs="1-7"), ("eight runs",)),
    "misspelt estimator": (
        agipd("correct", run="4", cm_estimator="windw"),
        ("--cm-estimator", "did you mean window"),
    ),
    # other commands
    "no trains to simulate": (simulate(trains="0"), ("--trains", "'0'", "1..100000")),
    "misspelt scene": (simulate(scene="ring"), ("--scene", "'ring'", "did you mean rings")),
    "simulation over a run": (simulate(out_folder="RAW", run="4"), ("RAW-R0004-JNGFR01", "is there already")),
    "no such notebook": (["run", "none.ipynb", "--run", "4"], ("none.ipynb", "no such notebook")),
    "not a notebook": (["run", "text.ipynb"], ("text.ipynb", "not a notebook")),
    "notebook without parameters": (["run", "bare.ipynb"], ("bare.ipynb", "`parameters`")),
    "status of no work": (["status", "nowhere"], ("nowhere", "no work folder")),
    "resume of no work": (["resume", "nowhere"], ("nowhere", "no work folder")),
    "record that is none": (["reproduce", "noise.npy"], ("noise.npy", "record")),
    "constant of no kind": (put(calibration="Nois10Hz"), ("Nois10Hz", "Noise10Hz")),
    "axes that do not fit": (put(dims="gain,slow_scan"), ("dims", "3")),
    "misspelt axis": (put(dims="gain,slow,fast_scan"), ("slow", "slow_scan")),
    "two owners": (put(unit="X"), ("--unit", "--module-da")),
    "condition without value": (put("--condition", "Sensor temperature"), ("Sensor temperature", "=180")),
    "misspelt condition": (put("--condition", "Gain Mode=1"), ("Gain Mode", "Gain mode")),
    "no date": (put("--begin", "yesterday"), ("yesterday", "is not a time", "2026-11-22T18:07")),
    "constant that is not there": (["constants", "show", "99"], ("99",)),
    "code as a constant": (["constants", "show", PYTHON], ("ID", "__import__")),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory) -> Path:
    """Four small raw runs, a store with the constants for them, and a folder to work in."""
    folder = tmp_path_factory.mktemp("sandbox")
    frame = np.full((1, 512, 1024), 3000, "u2")
    for run in (1, 2, 3, 4):
        write_module(folder / "raw", run, frame, np.zeros(frame.shape, "u1"))
    here = folder / "here"
    here.mkdir()
    np.save(here / "noise.npy", np.ones((3, 512, 1024)))
    for calibration in ("Offset10Hz", "RelativeGain10Hz"):
        put_constant(here / "noise.npy", calibration, folder / "raw", 1, store=folder / "store")
    (here / "text.ipynb").write_text("This is not a notebook.")
    (here / "bare.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return folder


@pytest.fixture
def run(sandbox, monkeypatch, capsys):
    """Run a command in this process and in the sandbox: its exit code and what it said of its errors."""
    monkeypatch.chdir(sandbox / "here")
    monkeypatch.setenv("CALIBOOK_STORE", str(sandbox / "store"))

    def call(args: list[str]) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(placed(args, sandbox))
        return ended.value.code or 0, capsys.readouterr().err

    return call


def placed(args: list[str], sandbox: Path) -> list[str]:
    """The command with the folder that RAW stands for."""
    return [re.sub(r"^RAW(?=/|$)", str(sandbox / "raw"), arg) for arg in args]


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time stamp of everything in a folder, without what SQLite keeps while it reads."""
    files = (path for path in sorted(folder.rglob("*")) if not path.name.endswith(("-wal", "-shm")))
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0)
        for path in files
    }


def in_one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("good", [correct(), dark(), simulate()], ids=["correct", "dark", "simulate"])
def test_the_good_commands_are_good(run, good, sandbox):
    """Else the tests below would show nothing."""
    before = tree(sandbox)
    assert run([*good, "--dry-run"]) == (0, "")
    assert tree(sandbox) == before


def test_there_are_enough():
    assert len(MALFORMED) >= 40


@pytest.mark.parametrize("what", MALFORMED)
def test_it_ends_with_2_says_what_is_wrong_and_writes_nothing(run, sandbox, what):
    args, said = MALFORMED[what]
    before = tree(sandbox)
    code, message = run(args)
    assert code == 2, message
    for words in placed(list(said), sandbox):
        assert words in message, f"{words!r} is not in {message!r}"
    assert "Traceback" not in message
    assert tree(sandbox) == before
    assert not list(sandbox.rglob(CANARY))


@pytest.mark.parametrize("what", ["shell for a number", "lines after a number", "Python as detector"])
def test_a_real_process_does_the_same(sandbox, what):
    args, said = MALFORMED[what]
    before = tree(sandbox)
    args = placed(args, sandbox)
    ended = calibook(*args, cwd=sandbox / "here", store=sandbox / "store", expect=2)
    assert all(in_one_line(words) in in_one_line(ended.err) for words in said)
    assert tree(sandbox) == before
    assert not list(sandbox.rglob(CANARY))


def test_odd_texts_are_just_texts(sandbox, tmp_path):
    """A folder may have any name. Nothing in it is run by Python, by a shell or by the notebook."""
    out = tmp_path / f'it\'s "{SHELL}" {{0}} %s `touch {CANARY}` {PYTHON.replace("/", "")}'
    args = placed(correct("--no-report", out_folder=str(out)), sandbox)
    calibook(*args, cwd=tmp_path, store=sandbox / "store")
    assert corrected_file(out).is_file()
    assert not list(tmp_path.rglob(CANARY))
    assert not list(sandbox.rglob(CANARY))
