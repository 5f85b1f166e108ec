"""JUNGFRAU on the cluster, end to end: 32 raw files, a job each, as on one machine; and the report."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from calibook.files import read_json
from calibook.jobs.environment import task_environment

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from commands import calibook, correct, hashes, put_constant, work_folder

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
FILES = 32


def make_run(raw, store):
    """A simulated run of many small files, and the constants that are true of it."""
    small = ("--modules", 1, "--trains", FILES, "--trains-per-sequence", 1)
    calibook("simulate", "jungfrau", "--out-folder", raw, "--run", 4, "--no-report", *small)
    truth = raw / "truth" / "R0004-JNGFR01.h5"
    for name, calibration in (("offset", "Offset10Hz"), ("gain", "RelativeGain10Hz")):
        where = {"dataset": f"detector/{name}", "dims": "cell,gain,slow_scan,fast_scan"}
        put_constant(truth, calibration, raw, 4, store=store, **where)


def test_corrected_files_are_the_same_and_the_last_job_makes_the_report(slurm, wait_until, tmp_path):
    # All nodes are this machine: its compiled kernels serve them too.
    kernels = shlex.quote(task_environment().get("NUMBA_CACHE_DIR") or os.environ["NUMBA_CACHE_DIR"])
    settings = {"summary_memory": "3G", "setup": [f"export NUMBA_CACHE_DIR={kernels}"]}
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    (tmp_path / "settings.toml").write_text(f'executor = "slurm"\n[slurm]\n{"".join(lines)}')
    raw, store = tmp_path / "raw", tmp_path / "store"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CALIBOOK_SETTINGS", "")
        make_run(raw, store)
        correct(raw, 4, tmp_path / "local", store=store)
    where = ("--in-folder", raw, "--run", 4, "--out-folder", tmp_path / "cluster", "--appendix", 0)
    calibook("jungfrau", "correct", *where, store=store)  # no --slurm: the settings say so
    work = work_folder(tmp_path / "cluster")
    wait_until(lambda: (work / "slurm" / "1" / "finished.json").exists(), 1200)
    assert len(hashes(tmp_path / "local")) == FILES
    assert hashes(tmp_path / "cluster") == hashes(tmp_path / "local")
    assert read_json(work / "slurm" / "1" / "finished.json")["problems"] == []
    assert (work / "report.pdf").stat().st_size > 10_000
    figures = read_json(work / "verdict.json")["figures"]
    assert figures["tasks_done"]["value"] == FILES
    [array, _] = read_json(work / "slurm" / "1" / "submission.json")["jobs"]
    assert [len(group) for group in array["groups"]] == FILES * [1]
    assert array["memory_mb"] > 500  # as the plan expects
    histories = [read_json(p)["history"] for p in (tmp_path / "cluster").glob("CORR-*.record.json")]
    assert len({history[0]["job"] for history in histories}) == FILES
    assert {history[0]["memory_limit_mb"] for history in histories} == {array["memory_mb"]}
    assert {history[0]["node"] for history in histories} <= {"node1", "node2", "node3", "node4"}
