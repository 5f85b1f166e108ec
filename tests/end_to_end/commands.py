"""Run `calibook` as a user does, and read what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil

from calibook.files import blake3, read_json
from calibook.jobs.local import run_local
from calibook.jobs.request import make_request
from calibook.procedures.notebook import find_procedures

KARABO_ID = "FXE_XAD_JF1M"
DARK_RUNS = ("--run-high", 1, "--run-medium", 2, "--run-low", 3)
NO_STORE = "/dev/null/no-store"  # so that no command ever finds the store of the user who tests


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def command(*args: Any) -> list[str]:
    """`calibook ...` for a new process."""
    return [sys.executable, "-P", "-m", "calibook", *map(str, args)]


def environment(store: Path | None = None, **variables: str) -> dict[str, str]:
    """The process's environment with a store of constants and further variables."""
    return {**os.environ, "CALIBOOK_STORE": str(store or NO_STORE), **variables}


def calibook(
    *args: Any, store: Path | None = None, cwd: Path | None = None, expect: int = 0, **variables: str
) -> Ended:
    """Run a command to its end; it must end with the exit code `expect`."""
    done = subprocess.run(
        command(*args),
        env=environment(store, **variables),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Ended(done.returncode, done.stdout, done.stderr)


def correct(raw: Path, run: int, out: Path, *options: Any, **how: Any) -> Path:
    """`calibook jungfrau correct` without report; returns the work folder."""
    where = ("--in-folder", raw, "--run", run, "--out-folder", out)
    calibook("jungfrau", "correct", *where, "--no-report", *options, **how)
    return work_folder(out)


def corrected_alone(raw: Path, run: int, out: Path, *, store: Path, **values: Any) -> None:
    """Like `correct`, but tasks alone, from this process: for tests of what is in corrected files."""
    [procedure] = (p for p in find_procedures() if (p.detector, p.name) == ("jungfrau", "correct"))
    where = {"in_folder": str(raw), "run": run, "out_folder": str(out), "store": str(store)}
    work = make_request(procedure, {**where, **values}).write()
    assert {status.state for status in run_local(work)} == {"done"}


def simulate(raw: Path, *, dark_trains: int, trains: int, options: tuple = ()) -> None:
    """`calibook simulate jungfrau` for dark runs 1, 2, 3 (in G0, G1, G2) and the lit run 4."""
    dark = {1: "dynamic", 2: "forceswitchg1", 3: "forceswitchg2"}
    scenes = [
        ("--run", run, "--trains", dark_trains, "--scene", "dark", "--gain-mode", dark[run]) for run in dark
    ]
    scenes.append(("--run", 4, "--trains", trains))

    simulate_runs("jungfrau", raw, [(*scene, *options) for scene in scenes])


def simulate_runs(detector: str, raw: Path, runs: Iterable[tuple]) -> None:
    """`calibook simulate` with the options of each run, two at a time."""

    def one(options: tuple) -> None:
        calibook("simulate", detector, "--out-folder", raw, "--no-report", *options)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, runs))


def characterise(raw: Path, out: Path, *, detector: str = "jungfrau", **how: Any) -> Path:
    """`calibook <detector> dark` of runs 1, 2, 3 without report; returns the work folder."""
    where = ("--in-folder", raw, "--out-folder", out)
    calibook(detector, "dark", *where, *DARK_RUNS, "--no-report", **how)
    return work_folder(out)


def put_true_gain(raw: Path, module_da: str, *, store: Path) -> None:
    """Put the gain of a simulated module into the store, as its maker would have measured it."""
    truth = raw / "truth" / f"R0004-{module_da}.h5"
    where = {"dataset": "detector/gain", "dims": "cell,gain,slow_scan,fast_scan", "module_da": module_da}
    put_constant(truth, "RelativeGain10Hz", raw, 1, store=store, **where)


def put_constant(file: Path, calibration: str, raw: Path, run: int, *, store: Path, **options: str) -> None:
    """`calibook constants put` for the unit at a module's place, with the conditions of a run.

    options: `dataset`, `dims`, and `module_da` if it is not JNGFR01
    """
    given = {"detector": KARABO_ID, "module_da": "JNGFR01", "dims": "gain,slow_scan,fast_scan", **options}
    named = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    where = ("--in-folder", raw, "--run", run)
    calibook("constants", "put", file, "--calibration", calibration, *named, *where, store=store)


def work_folder(out: Path) -> Path:
    """The one work folder of an output folder."""
    [folder] = (out / "calibook").iterdir()
    return folder


def figures(work: Path) -> dict[str, dict[str, Any]]:
    """Figures of a request's verdict, by name."""
    return read_json(work / "verdict.json")["figures"]


def failed(figures: dict[str, dict[str, Any]]) -> list[str]:
    """Names of those that fail."""
    return [name for name, figure in figures.items() if figure["status"] == "fail"]


def corrected_file(out: Path, run: int = 4, module: int = 1, sequence: int = 0) -> Path:
    """Path of a corrected file."""
    return out / f"CORR-R{run:04d}-JNGFR{module:02d}-S{sequence:05d}.h5"


def images(path: Path) -> dict[str, np.ndarray]:
    """Arrays `adc`, `gain`, `mask` of a corrected or raw file, read with plain h5py."""
    with h5py.File(path) as file:
        [source] = file["INSTRUMENT"].values()
        [group] = (device["data"] for kind in source.values() for device in kind.values())
        return {name: group[name][()] for name in ("adc", "gain", "mask") if name in group}


def hashes(folder: Path, pattern: str = "CORR-*.h5") -> dict[str, str]:
    """BLAKE3 of the files of a folder, by name."""
    return {path.name: blake3(path) for path in sorted(folder.glob(pattern))}


def kill_tree(process: psutil.Popen) -> None:
    """`kill -9` for a process and all below it. Stopped first, none can start another meanwhile."""
    stopped: list[psutil.Process] = []
    try:
        while fresh := [p for p in (process, *process.children(recursive=True)) if p not in stopped]:
            for member in fresh:
                member.suspend()
            stopped += fresh
    except psutil.NoSuchProcess:
        pass
    for member in stopped:
        member.kill()
    psutil.wait_procs(stopped, timeout=30)
    process.wait()
