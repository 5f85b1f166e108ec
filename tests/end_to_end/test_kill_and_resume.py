"""`kill -9` at any moment, then `calibook resume`: as if nothing had happened. And the memory of a task.

CALIBOOK_KILL_ROUNDS sets how many moments are tried; 20 for a full judgement.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from commands import calibook, command, correct, environment, hashes, images, kill_tree, work_folder
from frames import write_module

from calibook.files import read_json

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("CALIBOOK_KILL_ROUNDS") or 3)
RUN = 8


@dataclass(frozen=True)
class Undisturbed:
    """What a correction of two files made that nobody disturbed, and how long that took [s]."""

    raw: Path
    store: Path
    blake3: dict[str, str]
    sizes: dict[str, int]
    seconds: float


@pytest.fixture(scope="module")
def lit_frames(detector) -> tuple[np.ndarray, np.ndarray]:
    """ADC and gain code of simulated trains."""
    raw = images(detector.raw / "r0004" / "RAW-R0004-JNGFR01-S00000.h5")
    return raw["adc"][:, 0], raw["gain"][:, 0]


@pytest.fixture(scope="module")
def undisturbed(detector, lit_frames, big_folder) -> Undisturbed:
    raw, out = big_folder / "raw", big_folder / "undisturbed"
    for sequence in (0, 1):
        write_module(raw, RUN, *lit_frames, sequence=sequence, repeat=12)
    started = time.monotonic()
    process = request(raw, detector.store, out)
    while len(list(out.glob("CORR-*.h5"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    seconds = time.monotonic() - started
    assert process.wait() == 0
    sizes = {path.name: path.stat().st_size for path in out.glob("CORR-*.h5")}
    return Undisturbed(raw, detector.store, hashes(out), sizes, seconds)


def request(raw: Path, store: Path, out: Path) -> psutil.Popen:
    """Start the correction of two files, both at a time."""
    where = ("--in-folder", raw, "--run", RUN, "--out-folder", out)
    return psutil.Popen(
        command("jungfrau", "correct", *where, "--workers", 2, "--no-report"),
        env=environment(store),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def killed_after(process: psutil.Popen, seconds: float, out: Path, sizes: dict[str, int]) -> None:
    """Kill the process tree after a while; until then, look for partial files under final names."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end and process.poll() is None:
            for path in out.glob("CORR-*.h5"):
                assert path.stat().st_size == sizes[path.name]
            time.sleep(0.002)
    finally:
        kill_tree(process)


@pytest.mark.parametrize("moment", range(ROUNDS))
def test_killed_at_a_random_moment_and_resumed(undisturbed, big_folder, moment):
    """One moment in each equal part of the time, at random, but the same in each run of the tests.

    A fifth of the time is after both files were written: records and the summary are made then.
    """
    out = big_folder / f"killed-{moment}"
    part = random.Random(moment).uniform(moment, moment + 1) / ROUNDS
    process = request(undisturbed.raw, undisturbed.store, out)
    killed_after(process, part * 1.25 * undisturbed.seconds, out, undisturbed.sizes)
    check_resumed(undisturbed, out)


@pytest.mark.parametrize("moment", range(-(-ROUNDS // 4)))
def test_killed_while_files_are_written_and_resumed(undisturbed, big_folder, moment):
    out = big_folder / f"killed-writing-{moment}"
    process = request(undisturbed.raw, undisturbed.store, out)
    while not list(out.glob(".CORR-*.part")) and process.poll() is None:
        time.sleep(0.002)
    killed_after(process, random.Random(moment).uniform(0, 0.2), out, undisturbed.sizes)
    check_resumed(undisturbed, out)


def check_resumed(undisturbed: Undisturbed, out: Path) -> None:
    """Whole files alone bear final names; resumed, all files are those of the undisturbed run."""
    left, parts = hashes(out), len(list(out.glob(".*.part")))
    print(f"the kill left {len(left)} files and {parts} parts")
    assert left.items() <= undisturbed.blake3.items()
    if list(out.glob("calibook/*/plan.json")):
        calibook("resume", work_folder(out), "--no-report", store=undisturbed.store)
    else:  # killed while it planned: there is nothing to resume, so the command is given again
        assert request(undisturbed.raw, undisturbed.store, out).wait() == 0
    assert hashes(out) == undisturbed.blake3
    assert not list(out.rglob("*.part"))
    assert ": 2 done" in calibook("status", work_folder(out)).out
    shutil.rmtree(out)


def test_a_task_takes_as_much_memory_for_a_long_file_as_for_a_short_one(detector, lit_frames, big_folder):
    """48 and 400 trains; what grows is the list of trains and a mean value per block."""
    raw, out = big_folder / "lengths", big_folder / "lengths-out"
    for sequence, repeat in enumerate((6, 50)):
        write_module(raw, RUN, *lit_frames, sequence=sequence, repeat=repeat)
    correct(raw, RUN, out, "--workers", 1, store=detector.store)
    records = [read_json(path) for path in sorted(out.glob("CORR-*.record.json"))]
    sizes = [record["size"] for record in records]
    assert sizes[1] > 8 * sizes[0]
    short, long = (record["peak memory [MB]"] for record in records)
    print(f"peak memory {short:.0f} MB for 48 trains, {long:.0f} MB for 400")
    assert 100 < short < 1000
    assert long < 1.05 * short
