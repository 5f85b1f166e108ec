"""What the end-to-end tests share: a small simulated detector, characterised and corrected once."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from commands import calibook, correct, put_constant

from calibook.simulation.jungfrau import simulate_run
from calibook.simulation.settings import RunSettings

Make = Callable[[Path], None]


@dataclass(frozen=True)
class SmallDetector:
    """Two modules. Runs 1, 2, 3 are dark in G0, G1, G2, run 4 is lit; the store has all constants.

    Many tests read these folders, at the same time too: none may write there.
    """

    raw: Path
    store: Path


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Make], Path]:
    """`made_once(name, make)`: a folder that `make(folder)` fills once, whichever worker asks first."""
    base = tmp_path_factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "end_to_end"
    base.mkdir(exist_ok=True)

    def ask(name: str, make: Make) -> Path:
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (base / f"{name}.made").exists():
                make(base / name)
                (base / f"{name}.made").touch()
        return base / name

    return ask


@pytest.fixture(scope="session")
def detector(made_once) -> SmallDetector:
    """The small detector; its dark constants are made, and its gain put, at the command line."""
    folder = made_once("detector", _make_detector)
    return SmallDetector(folder / "raw", folder / "store")


def _make_detector(folder: Path) -> None:
    raw, store = folder / "raw", folder / "store"
    stages = {1: "dynamic", 2: "forceswitchg1", 3: "forceswitchg2"}
    for run, mode in stages.items():
        simulate_run(raw, RunSettings(run=run, trains=40, modules=2, seed=1, scene="dark", gain_mode=mode))
    simulate_run(raw, RunSettings(run=4, trains=8, modules=2, seed=1))
    runs = ("--run-high", 1, "--run-medium", 2, "--run-low", 3)
    where = ("--in-folder", raw, "--out-folder", folder / "darks")
    calibook("jungfrau", "dark", *where, *runs, "--no-report", store=store)
    for module in ("JNGFR01", "JNGFR02"):
        truth = raw / "truth" / f"R0004-{module}.h5"
        of_truth = {"dataset": "detector/gain", "dims": "cell,gain,slow_scan,fast_scan", "module_da": module}
        put_constant(truth, "RelativeGain10Hz", raw, 1, store=store, **of_truth)


@pytest.fixture(scope="session")
def corrected(made_once, detector) -> Path:
    """Output folder of run 4, corrected with the default parameters."""
    return made_once("corrected", lambda folder: correct(detector.raw, 4, folder, store=detector.store))


@pytest.fixture(scope="module")
def big_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for gigabytes, removed when the module's tests are done."""
    folder = tmp_path_factory.mktemp("big")
    yield folder
    shutil.rmtree(folder)
