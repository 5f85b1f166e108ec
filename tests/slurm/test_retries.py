"""Tried again by cause: with more memory, with more time, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cluster import fake
from shouting import result

from calibook.files import read_json

pytestmark = pytest.mark.slurm


@pytest.fixture
def tasks(calibook):
    """Status of all tasks by name, and the whole of it."""

    def ask(work, code=0):
        content = json.loads(calibook("status", "--json", work, code=code))
        return {task["name"]: task for task in content["tasks"]}, content

    return ask


def finished(work):
    return list((work / "slurm").glob("*/finished.json"))


def attempts(work, name):
    return [read_json(path) for path in sorted((work / "tasks" / name / "attempts").glob("*/state.json"))]


def test_out_of_memory_is_tried_again_with_more(slurm, shout, tasks, wait_until, tmp_path):
    work = shout(tmp_path, {"hungry": "eat 400", "modest": "text"}, "--mem", "400M")
    wait_until(lambda: finished(work), 150)
    found, content = tasks(work)
    assert content["counts"] == {"done": 2}
    first, *more, last = found["hungry"]["attempts"]
    assert first["state"] == "out of memory"
    assert first["cause"].startswith("it took more memory than its job had: 400 MB; at least ")
    assert (first["memory_limit_mb"], last["state"]) == (400, "done")
    assert last["memory_limit_mb"] >= 2 * max(400, first["job_memory_mb"])
    assert not more
    record = read_json(tmp_path / "proc" / "hungry.record.json")
    assert [attempt["state"] for attempt in record["history"]] == ["out of memory", "done"]
    assert record["attempts"] == 2
    assert len(found["modest"]["attempts"]) == 1
    log = (work / "tasks" / "hungry" / "log.txt").read_text()
    assert log.index("attempt 1 on") < log.index("attempt 2 on")


def test_not_beyond_what_the_facility_allows(slurm, shout, tasks, wait_until, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text() + 'most_memory = "500M"\nretries = 5\n')
    work = shout(tmp_path, {"hungry": "eat 1000"}, "--mem", "400M")
    wait_until(lambda: finished(work), 150)
    found, _ = tasks(work, code=1)
    assert [attempt["memory_limit_mb"] for attempt in found["hungry"]["attempts"]] == [400, 500]
    assert found["hungry"]["state"] == "out of memory"


def test_out_of_time_is_tried_again_with_more(slurm, shout, tasks, wait_until, tmp_path):
    work = shout(tmp_path, {"slow": "sleep 600"}, "--time", "5m")
    wait_until(lambda: (tmp_path / "raw" / "slow.seen").exists())
    job = attempts(work, "slow")[0]["job"]
    slurm.ask("scontrol", "update", f"jobid={job}", "EndTime=now")  # limits are whole minutes
    wait_until(lambda: finished(work), 150)
    found, _ = tasks(work)
    first, last = found["slow"]["attempts"]
    assert (first["state"], first["cause"]) == ("out of time", "it took longer than its job was allowed to")
    assert last["state"] == "done"
    jobs = [read_json(work / "slurm" / n / "submission.json")["jobs"][0] for n in ("1", "2")]
    assert [job["minutes"] for job in jobs] == [5, 10]


def test_killed_by_nobody_knows_whom_is_tried_again_as_it_was(slurm, shout, tasks, wait_until, tmp_path):
    scratch = Path(tempfile.mkdtemp(prefix="node-"))  # sockets' names must be short
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text() + f'scratch = "{scratch}"\n')
    work = shout(tmp_path, {"unlucky": "sleep 600"})
    wait_until(lambda: (tmp_path / "raw" / "unlucky.seen").exists())
    assert len(list(scratch.glob("calibook-kernel-*"))) == 1
    os.kill(attempts(work, "unlucky")[0]["pid"], signal.SIGKILL)
    wait_until(lambda: finished(work) and not slurm.jobs())
    found, _ = tasks(work)
    assert [attempt["state"] for attempt in found["unlucky"]["attempts"]] == ["killed", "done"]
    assert {attempt["memory_limit_mb"] for attempt in found["unlucky"]["attempts"]} == {400}
    assert (tmp_path / "proc" / "unlucky.h5").read_text() == result("sleep 600")
    assert not list(scratch.glob("calibook-kernel-*"))
    shutil.rmtree(scratch)


@pytest.mark.parametrize("silent_for", ["tasks1", "finish"])
def test_a_scheduler_that_falls_silent_while_the_last_job_tries_again(
    silent_for, slurm, shout, tasks, wait_until, tmp_path, monkeypatch
):
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text() + "patience = 2\n")
    silent = 'touch "$once"; echo "sbatch: error: Unable to contact slurm controller" >&2; exit 1'
    once = f'once="{tmp_path}/once"; [[ "$*" == *-2-{silent_for}-* && ! -e "$once" ]]'
    fake(tmp_path / "bin", "sbatch", f'if {once}; then {silent}; fi; exec "$real" "$@"', monkeypatch)
    work = shout(tmp_path, {"unlucky": "wait"})
    wait_until(lambda: attempts(work, "unlucky"))
    os.kill(attempts(work, "unlucky")[0]["pid"], signal.SIGKILL)
    # Asked again, the last job submits one that finishes, though the second attempt is under way for long.
    wait_until(lambda: (work / "slurm" / "3" / "finish.job").exists() or finished(work))
    assert (tmp_path / "once").exists()
    assert not finished(work)
    (tmp_path / "raw" / "unlucky.go").touch()
    wait_until(lambda: finished(work))
    assert tasks(work)[1]["counts"] == {"done": 1}
    assert len(attempts(work, "unlucky")) == 2
    assert len(finished(work)) == 1


def test_cancelled_by_hand_waits_for_resume(slurm, shout, tasks, calibook, wait_until, tmp_path):
    work = shout(tmp_path, {"stopped": "sleep 600", "other": "text"})
    wait_until(lambda: (tmp_path / "raw" / "stopped.seen").exists())
    slurm.ask("scancel", attempts(work, "stopped")[0]["job"])
    wait_until(lambda: finished(work) and not slurm.jobs())
    found, _ = tasks(work, code=1)
    assert (found["stopped"]["state"], found["other"]["state"]) == ("cancelled", "done")
    assert found["stopped"]["action"] == "`calibook resume` tries it again"
    calibook("resume", "--no-report", work)
    wait_until(lambda: len(finished(work)) == 2)
    assert tasks(work)[1]["counts"] == {"done": 2}


def test_a_job_that_can_not_begin_says_why(slurm, shout, tasks, wait_until, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text() + 'setup = ["echo no such module >&2; exit 3"]\nretries = 0\n')
    work = shout(tmp_path, {"a": "text"})
    wait_until(lambda: not slurm.jobs())
    found, _ = tasks(work, code=1)
    assert found["a"]["cause"] == "its job ended before the task began: no such module"


def test_a_lost_node_with_a_living_task_makes_two_writers_and_one_result(
    slurm, shout, tasks, wait_until, tmp_path
):
    from calibook.jobs.task import run_task

    def at_work():
        return [attempt for attempt in attempts(work, "twice") if attempt["cells_done"] == 2]

    work = shout(tmp_path, {"twice": "wait"})
    [first] = wait_until(at_work)
    with ThreadPoolExecutor(1) as pool:
        # The copy that a cluster starts when it believes a node lost, here beside the job.
        copy = pool.submit(run_task, work, "twice")
        wait_until(lambda: len(at_work()) == 2)
        (tmp_path / "raw" / "twice.go").touch()
        assert copy.result().state == "done"
    wait_until(lambda: finished(work))
    found, _ = tasks(work)
    states = [attempt["state"] for attempt in found["twice"]["attempts"]]
    assert sorted(states) == ["done", "overtaken"]
    assert (tmp_path / "proc" / "twice.h5").read_text() == result("wait")
    winner = read_json(tmp_path / "proc" / "twice.record.json")["attempts"]
    assert states[winner - 1] == "done"
    assert first["job"]
