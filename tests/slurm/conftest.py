"""A SLURM cluster of one machine for the tests, and small requests to put on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cluster import Cluster, missing_commands
from shouting import write_book


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Four nodes of two CPUs, for all tests of a worker; skipped where SLURM is missing, but not in CI."""
    missing = missing_commands()
    if missing:
        message = f"SLURM is missing: {', '.join(missing)}; scripts/install_slurm.sh installs it on Debian"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("cluster") / "slurm"
    started = Cluster.start(folder)
    yield started
    started.stop()


@pytest.fixture
def slurm(cluster, tmp_path, monkeypatch):
    """The cluster, found by all that this test starts, with settings of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    settings = tmp_path / "settings.toml"
    settings.write_text('[slurm]\nsummary_memory = "500M"\nmemory = "400M"\n')
    monkeypatch.setenv("CALIBOOK_SETTINGS", str(settings))
    cluster.all_up()
    yield cluster
    cluster.clear()


@pytest.fixture
def book(tmp_path):
    """A procedure that shouts, see `shouting.py`."""
    return write_book(tmp_path / "books")


@pytest.fixture
def calibook():
    """Run a command; its exit code must be as expected. Gives what it printed."""

    def run(*words, code=0, timeout=300, **more):
        command = [sys.executable, "-P", "-m", "calibook", *map(str, words)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            **more,
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture
def shout(book, calibook):
    """Submit a request for texts of files by name; its work folder."""

    def submit(folder, texts, *options, code=0, slurm=True, **more):
        raw = Path(folder) / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (raw / f"{name}.txt").write_text(text)
        where = ["--slurm"] if slurm else []
        out = ["--in-folder", raw, "--out-folder", Path(folder) / "proc", "--no-report"]
        calibook("run", book, *out, *where, *options, code=code, **more)
        return next((Path(folder) / "proc" / "calibook").iterdir())

    return submit


@pytest.fixture
def wait_until():
    """Wait for something to happen."""

    def wait(happened, seconds=90, every=0.2):
        end = time.monotonic() + seconds
        while not (found := happened()):
            assert time.monotonic() < end, f"it did not happen within {seconds} s"
            time.sleep(every)
        return found

    return wait


@pytest.fixture(autouse=True)
def keep_on_failure(request, tmp_path):
    """Nothing is kept of a test that passed: work folders are many small files."""
    yield
    if request.session.testsfailed == 0:
        shutil.rmtree(tmp_path, ignore_errors=True)
