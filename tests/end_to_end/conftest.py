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
from commands import characterise, correct, put_true_gain, simulate, simulate_runs

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
    """The small detector: simulated, its darks characterised, its gain put into the store."""
    folder = made_once("detector", _make_detector)
    return SmallDetector(folder / "raw", folder / "store")


def _make_detector(folder: Path) -> None:
    raw, store = folder / "raw", folder / "store"
    simulate(raw, dark_trains=24, trains=8, options=("--modules", 2))
    characterise(raw, folder / "darks", store=store)
    for module in ("JNGFR01", "JNGFR02"):
        put_true_gain(raw, module, store=store)


@pytest.fixture(scope="session")
def agipd_darks(made_once) -> Path:
    """Modules 0 and 3 of an AGIPD with 4 memory cells. Its folder `raw` holds runs 1, 2, 3, dark in high,
    medium, low gain, `darks` and `store` what was made of them. None may write there.

    Not the easy case: a lost train, trains with different numbers of frames, two sequences.
    """
    return made_once("agipd_darks", _make_agipd_darks)


def _make_agipd_darks(folder: Path) -> None:
    of_all = ("--modules", "0,3", "--memory-cells", 4, "--scene", "dark", "--trains", 100)
    uneven = ("--fewest-frames", 2, "--trains-per-sequence", 60, "--lost-trains", 7)
    modes = ("adaptive", "forced-medium", "forced-low")
    runs = [("--run", run, "--gain-mode", mode, *of_all, *uneven) for run, mode in enumerate(modes, 1)]
    simulate_runs("agipd", folder / "raw", runs)
    characterise(folder / "raw", folder / "darks", detector="agipd", store=folder / "store")


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
