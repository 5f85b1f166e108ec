"""Submitted once, whatever happens to who submits; and what is said when SLURM does not answer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cluster import fake

from calibook.files import read_json
from calibook.jobs.lock import Locked, hold

pytestmark = pytest.mark.slurm


def finished(work):
    return list((work / "slurm").glob("*/finished.json"))


def killed_submission(book, folder):
    """A submission that its own sbatch kills; its work folder."""
    raw = folder / "raw"
    raw.mkdir()
    for name in "ab":
        (raw / f"{name}.txt").write_text("text")
    command = [sys.executable, "-P", "-m", "calibook", "run", str(book), "--slurm", "--no-report"]
    command += ["--in-folder", str(raw), "--out-folder", str(folder / "proc")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == -9
    return next((folder / "proc" / "calibook").iterdir())


@pytest.mark.parametrize(
    ("moment", "body", "submissions"),
    [
        ("before sbatch", "kill -9 $PPID; exit 1", 2),
        ("after sbatch", '"$real" "$@"; kill -9 $PPID', 2),
        ("after the last sbatch", '"$real" "$@"; case "$*" in *finish*) kill -9 $PPID;; esac', 1),
    ],
)
def test_killed_while_submitting(
    moment, body, submissions, slurm, book, calibook, wait_until, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        fake(tmp_path / "bin", "sbatch", body, patched)
        work = killed_submission(book, tmp_path)
    calibook("resume", "--no-report", work)
    wait_until(lambda: finished(work))
    said = json.loads(calibook("status", "--json", work))
    assert said["counts"] == {"done": 2}
    assert all(len(task["attempts"]) == 1 for task in said["tasks"])
    names = [name for _, name in slurm.submitted() if work.name[-8:] in name]
    assert len(names) == len(set(names))
    assert len(list((work / "slurm").iterdir())) == submissions
    arrays = [name for name in names if "-tasks" in name]
    assert len(arrays) == 1


def test_an_sbatch_that_outlives_its_caller_holds_the_lock(slurm, book, wait_until, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        fake(tmp_path / "bin", "sbatch", f'kill -9 $PPID; sleep 3; touch "{tmp_path}/over"', patched)
        work = killed_submission(book, tmp_path)
    with pytest.raises(Locked), hold(work):
        pass
    wait_until((tmp_path / "over").exists)

    def free():
        try:
            with hold(work):
                return True
        except Locked:
            return False

    wait_until(free, 10)


def test_a_job_that_was_given_up_does_nothing(slurm, shout, calibook, wait_until, tmp_path):
    work = shout(tmp_path, {"a": "text"}, "--delay", "1")
    calibook("cancel", work)
    wait_until(lambda: not slurm.jobs())
    script = work / "slurm" / "1" / "tasks1.sh"
    log = tmp_path / "late.log"
    slurm.ask("sbatch", "--array=0-0", "--mem=400M", f"--output={log}", str(script))
    wait_until(lambda: log.exists() and "nothing is done" in log.read_text())
    assert not (tmp_path / "proc" / "a.h5").exists()


def test_resume_while_all_is_queued_submits_nothing(slurm, shout, calibook, wait_until, tmp_path):
    work = shout(tmp_path, {"a": "sleep 3"})
    before = slurm.submitted()
    assert "in the queue since before" in calibook("resume", "--no-report", work)
    assert slurm.submitted() == before
    assert "has jobs in SLURM's queue" in calibook("resume", "--executor", "local", work, code=2)
    wait_until(lambda: finished(work))


def test_what_slurm_holds_for_ever_is_told_and_freed(slurm, shout, calibook, tmp_path, monkeypatch):
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")  # they shall wait
    try:
        work = shout(tmp_path, {"a": "text"})
        with monkeypatch.context() as patched:
            as_held = "s/[|]PENDING[|][^|]*[|]/|PENDING|launch failed requeued held|/"
            fake(tmp_path / "bin", "squeue", f'"$real" "$@" | sed "{as_held}"', patched)
            asked = tmp_path / "asked"
            fake(tmp_path / "bin", "scontrol", f'echo "$@" >> "{asked}"; exec "$real" "$@"', patched)
            said = calibook("status", work)
            assert "pending: launch failed requeued held; `calibook resume` frees it" in said
            calibook("resume", "--no-report", work)
        array, last = ((work / "slurm" / "1" / f"{name}.job").read_text() for name in ("tasks1", "finish"))
        assert f"release {array.strip()}_0,{last.strip()}\n" in asked.read_text()
        calibook("cancel", work)
    finally:
        slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")


def test_refused_by_slurm_is_told_and_resumed(slurm, shout, calibook, wait_until, tmp_path):
    work = shout(tmp_path, {"a": "text"}, "--partition", "nowhere", code=1)
    assert read_json(work / "slurm" / "1" / "submission.json")["jobs"][0]["groups"] == [["a"]]
    said = calibook("resume", "--no-report", "--partition", "nowhere", work, code=1)
    assert "tasks1: sbatch: invalid partition specified: nowhere; Batch job submission failed" in said
    assert "nothing was submitted" in said
    calibook("resume", "--no-report", work)
    wait_until(lambda: finished(work))


def test_a_scheduler_that_is_silent(slurm, shout, calibook, wait_until, tmp_path, monkeypatch):
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text() + "patience = 1\n")
    work = shout(tmp_path, {"a": "text", "b": "bad word"})
    wait_until(lambda: finished(work) and not slurm.jobs())
    with monkeypatch.context() as patched:
        fake(tmp_path / "bin", "squeue", "sleep 30", patched)
        said = calibook("status", work, code=1)
        assert "SLURM does not answer (squeue: no answer in 1 s)" in said
        assert "1 bad input, 1 done" in said
        assert "nothing was submitted" in calibook("resume", "--no-report", work, code=1)
        assert "do nothing" in calibook("cancel", work, code=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = calibook("resume", "--slurm", work, code=2)
    assert "no command sbatch, squeue, scancel, scontrol here" in said
    assert "1 bad input, 1 done" in calibook("status", work, code=1)


def test_a_site_template_replaces_ours(slurm, shout, calibook, wait_until, tmp_path):
    template = tmp_path / "own.sh.jinja"
    template.write_text(
        '{% extends "job.sh.jinja" %}{% block environment %}export GREETING={{ "it\'s $(id)" }}\n'
        '{% endblock %}{% block run %}echo "$GREETING"; exec {{ command }}\n{% endblock %}'
    )
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text() + f'template = "{template}"\n')
    work = shout(tmp_path, {"a": "text"})
    wait_until(lambda: finished(work) and not slurm.jobs())
    assert (work / "slurm" / "1" / "logs" / "tasks1-0.log").read_text().startswith("it's $(id)\n")
    template.write_text("{{ nothing }}")
    assert "'nothing' is undefined" in calibook("resume", "--again", work, code=2)
