"""A request as a job array: the same bytes as on one machine, done once, told in one look."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from shouting import result

from calibook.files import read_json

pytestmark = pytest.mark.slurm


def finished(work):
    return list((work / "slurm").glob("*/finished.json"))


def test_an_array_gives_the_bytes_of_the_local_executor(slurm, shout, wait_until, tmp_path):
    texts = {f"s{i:02}": f"text number {i}" for i in range(8)}
    work = shout(tmp_path / "cluster", texts, "--mem", "300M")
    shout(tmp_path / "local", texts, slurm=False)
    wait_until(lambda: finished(work))
    proc = tmp_path / "cluster" / "proc"
    assert {path.stem: path.read_text() for path in proc.glob("*.h5")} == {
        name: result(text) for name, text in texts.items()
    }
    for path in (tmp_path / "local" / "proc").glob("*.h5"):
        assert path.read_bytes() == (proc / path.name).read_bytes()
    [(array, _), (last, _)] = [job for job in slurm.submitted() if work.name[-8:] in job[1]]
    assert int(last) > int(array)
    assert read_json(work / "verdict.json")["figures"]["shouted"]["value"] == 8
    record = read_json(tmp_path / "cluster" / "proc" / "s07.record.json")
    assert record["history"][0]["job"] == f"{array}_7"
    assert record["history"][0]["memory_limit_mb"] == 300
    assert record["history"][0]["cpus"] == 1
    assert "with 1 threads" in (work / "tasks" / "s07" / "log.txt").read_text()


def test_several_tasks_in_a_job_and_a_limit_on_jobs(slurm, shout, calibook, wait_until, tmp_path):
    texts = {f"s{i}": f"text {i}" for i in range(5)}
    work = shout(
        tmp_path, texts, "--files-per-job", 2, "--max-jobs", 2, "--partition", "main", "--time", "10m"
    )
    submission = read_json(work / "slurm" / "1" / "submission.json")
    array = submission["jobs"][0]
    assert array["groups"] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    assert {"--array=0-2%2", "--partition=main", "--time=10", "--mem=400M"} <= set(array["arguments"])
    said = calibook("status", "--watch", work)  # until nothing waits or runs
    assert f"{work}: 5 done\n" in said
    assert "summary and report: made, verdict pass" in said
    said = json.loads(calibook("status", "--json", work))
    assert said["counts"] == {"done": 5}
    assert said["scheduler"]["finish"] == "made, verdict pass"
    jobs = {task["attempts"][0]["job"].partition("_")[2] for task in said["tasks"]}
    assert jobs == {"0", "1", "2"}


def test_bad_input_is_told_in_one_line_and_not_tried_again(slurm, shout, calibook, wait_until, tmp_path):
    work = shout(tmp_path, {"good": "text", "wrong": "bad word"})
    wait_until(lambda: finished(work) and not slurm.jobs())
    said = calibook("status", work, code=1)
    source = tmp_path / "raw" / "wrong.txt"
    assert f"{source}, dataset /text, train 7: has a bad word" in said
    assert "cell 3, line 10: raise BadInput(source" in said
    assert "is not tried again" in said
    assert "| BadInput: " in said  # the end of the log
    tasks = {task["name"]: task for task in json.loads(calibook("status", "--json", work, code=1))["tasks"]}
    assert (tasks["good"]["state"], tasks["wrong"]["state"]) == ("done", "bad input")
    assert len(tasks["wrong"]["attempts"]) == 1
    assert "not tried again" in calibook("resume", "--no-report", work)
    wait_until(lambda: len(finished(work)) == 2)
    source.write_text("mended")
    calibook("resume", "--no-report", work)
    wait_until(lambda: (tmp_path / "proc" / "wrong.h5").exists())


HOSTILE = (
    "a b",
    "q'u\"ote",
    "semi;touch HACKED",
    "$(touch HACKED)",
    "`touch HACKED`",
    "ünï→码",
    "-rf",
)


def test_hostile_names_are_names(slurm, book, shout, calibook, wait_until, tmp_path):
    folder = tmp_path.joinpath(*HOSTILE)
    note = "'; touch HACKED; $(touch HACKED) \"\\ `touch HACKED`"
    work = shout(folder, {"it's $(touch HACKED) ü": "text"}, "--note", note)
    wait_until(lambda: finished(work))
    assert read_json(work / "verdict.json")["verdict"] == "pass"
    assert (folder / "proc" / "it's $(touch HACKED) ü.h5").exists()
    assert read_json(work / "plan.json")["parameters"]["note"] == note
    assert "line break" in calibook(
        "run", book, "--in-folder", "a\nb", "--out-folder", "c", "--slurm", code=2
    )
    assert not [*tmp_path.rglob("HACKED"), *Path.home().glob("HACKED")]
    for option, value in (
        ("--partition", "main;id"),
        ("--account", "$(id)"),
        ("--time", "1;id"),
        ("--mem", "-1"),
    ):
        text = calibook("resume", "--slurm", option, value, work, code=2)
        assert option in text


def test_paths_that_slurm_would_expand_are_refused(slurm, book, calibook, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("text")
    options = ["--in-folder", "raw", "--out-folder", tmp_path / "50%", "--slurm"]
    assert "choose another --work-folder" in calibook("run", book, *options, code=2)
    assert not (tmp_path / "50%").exists()


def test_a_dry_run_shows_what_would_be_submitted(slurm, book, shout, calibook, tmp_path, monkeypatch):
    calls = count_calls(tmp_path / "bin", monkeypatch)
    (tmp_path / "raw").mkdir()
    for i in range(5):
        (tmp_path / "raw" / f"s{i}.txt").write_text("text")
    command = ("run", book, "--in-folder", tmp_path / "raw", "--out-folder", tmp_path / "proc", "--dry-run")
    options = ("--files-per-job", 2, "--max-jobs", 2, "--partition", "main", "--time", "2h", "--mem", "1G")
    said = calibook(*command, "--slurm", *options)
    rows = [line.split() for line in said.splitlines()]
    assert ["tasks1", "5", "3", "2", "2", "1024", "MB", "120", "min", "1"] in rows
    assert ["finish", "summary,", "report", "1", "all", "500", "MB", "60", "min", "1"] in rows
    assert ["partition", "main"] in rows
    assert "SLURM would get" not in calibook(*command)
    assert calls("sbatch") == 0
    assert not (tmp_path / "proc").exists()
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")  # they shall wait
    try:
        shout(tmp_path, {"s0": "text"})
        said = calibook(*command, "--slurm")
        assert "SLURM would get nothing more" in said
        assert ["in", "the", "queue", "5"] in [line.split() for line in said.splitlines()]
    finally:
        slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")


def test_1600_tasks_are_submitted_in_two_arrays_and_seen_in_one_query(
    slurm, shout, calibook, tmp_path, monkeypatch
):
    calls = count_calls(tmp_path / "bin", monkeypatch)
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")  # they shall wait
    try:
        work = shout(tmp_path, {f"s{i:04}": "text" for i in range(1600)})
        assert calls("sbatch") == 3
        assert calls("squeue") + calls("scontrol") <= 2
        before = calls("squeue")
        said = json.loads(calibook("status", "--json", work))
        assert calls("squeue") == before + 1
        assert said["counts"] == {"waiting": 1600}
        assert all("queued as job" in task["cause"] for task in said["tasks"])
        assert "cancelled: job" in calibook("cancel", work)
        assert not slurm.jobs()
    finally:
        slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")


def count_calls(folder, monkeypatch):
    """Count how often SLURM's commands are called."""
    folder.mkdir()
    for name in ("sbatch", "squeue", "scontrol", "scancel"):
        script = folder / name
        script.write_text(f'#!/bin/sh\necho {name} >> "{folder}/calls"\nexec {shutil.which(name)} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    log = folder / "calls"
    return lambda name: log.read_text().split().count(name) if log.exists() else 0
