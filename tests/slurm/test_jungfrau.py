"""JUNGFRAU on the cluster, end to end: corrected files as on one machine, and the report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from calibook.files import read_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from commands import calibook, characterise, correct, hashes, put_true_gain, simulate, work_folder

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_corrected_files_are_the_same_and_the_last_job_makes_the_report(slurm, wait_until, tmp_path):
    (tmp_path / "settings.toml").write_text('executor = "slurm"\n[slurm]\nsummary_memory = "3G"\n')
    raw, store = tmp_path / "raw", tmp_path / "store"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CALIBOOK_SETTINGS", "")
        options = ("--modules", 1, "--trains-per-sequence", 4)
        simulate(raw, dark_trains=12, trains=12, options=options)
        characterise(raw, tmp_path / "darks", store=store)
        put_true_gain(raw, "JNGFR01", store=store)
    correct(raw, 4, tmp_path / "local", store=store, CALIBOOK_SETTINGS="")
    where = ("--in-folder", raw, "--run", 4, "--out-folder", tmp_path / "cluster")
    calibook("jungfrau", "correct", *where, store=store)  # no --slurm: the settings say so
    work = work_folder(tmp_path / "cluster")
    wait_until(lambda: (work / "slurm" / "1" / "finished.json").exists(), 240)
    assert len(hashes(tmp_path / "local")) == 3
    assert hashes(tmp_path / "cluster") == hashes(tmp_path / "local")
    assert read_json(work / "slurm" / "1" / "finished.json")["problems"] == []
    assert (work / "report.pdf").stat().st_size > 10_000
    figures = read_json(work / "verdict.json")["figures"]
    assert figures["tasks_done"]["value"] == 3
    [array, _] = read_json(work / "slurm" / "1" / "submission.json")["jobs"]
    assert array["memory_mb"] > 500  # as the plan expects
    record = read_json(next((tmp_path / "cluster").glob("CORR-*.record.json")))
    assert record["history"][0]["memory_limit_mb"] == array["memory_mb"]
    assert record["history"][0]["node"] in ("node1", "node2", "node3", "node4")
