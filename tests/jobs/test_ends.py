"""How a job ended, told from its log, SLURM's word and the task's own measure."""

import os
import time
from dataclasses import replace

import pytest

from calibook.jobs.rates import rate_of
from calibook.jobs.settings import SlurmSettings
from calibook.jobs.slurm.commands import Entry
from calibook.jobs.slurm.ends import how_it_ended, measured_mb
from calibook.jobs.slurm.retry import Need, next_need, wanted_by_itself, wanted_by_user
from calibook.jobs.slurm.submissions import Job, Submission
from calibook.jobs.slurm.view import Place
from calibook.jobs.state import Attempt, TaskStatus, begin_attempt, read_attempts, write_attempt
from calibook.procedures.tasks import Task

# As slurmstepd of several versions writes it.
MESSAGES = [
    (
        "slurmstepd: error: Job 7 exceeded memory limit (1073741824 > 419430400), being killed",
        "out of memory",
    ),
    ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.", "out of memory"),
    ("slurmstepd: error: Detected 1 oom-kill event(s) in step 7.batch cgroup.", "out of memory"),
    (
        "slurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***",
        "out of time",
    ),
    ("slurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***", "preempted"),
    (
        "slurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-01-01T00:00:00 DUE TO NODE FAILURE ***",
        "node lost",
    ),
    ("slurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-01-01T00:00:00 ***", "cancelled"),
    ("the notebook prints: exceeded memory limit, DUE TO TIME LIMIT, CANCELLED AT", "killed"),
    ("", "killed"),
]
ATTEMPT = Attempt(1, "killed", "here", 1, 0.0, "2026-01-01T00:00:00+00:00", cause="why")


@pytest.mark.parametrize(("message", "state"), MESSAGES)
def test_the_log_tells(message, state, tmp_path):
    log = tmp_path / "log"
    log.write_text(f"some output\n{message}\n")
    assert how_it_ended(ATTEMPT, log, None)[0] == state


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("TIMEOUT", "out of time"),
        ("OUT_OF_MEMORY", "out of memory"),
        ("NODE_FAIL", "node lost"),
        ("PREEMPTED", "preempted"),
        ("CANCELLED", "cancelled"),
        ("FAILED", "killed"),
    ],
)
def test_else_the_queue_tells(word, state, tmp_path):
    entry = Entry("7", 0, word, "None", "name")
    assert how_it_ended(ATTEMPT, tmp_path / "none", entry)[0] == state
    assert not entry.active


def test_else_the_memory_it_had_tells(tmp_path):
    full = replace(ATTEMPT, job_memory_mb=380.0, memory_limit_mb=400)
    state, cause = how_it_ended(full, tmp_path / "none", None)
    assert (state, cause) == (
        "out of memory",
        "it took more memory than its job had: 400 MB; at least 380 MB were in use",
    )
    roomy = replace(full, job_memory_mb=200.0)
    assert how_it_ended(roomy, tmp_path / "none", None) == ("killed", "why")
    assert measured_mb(MESSAGES[0][0]) == 1024


class OneJob:
    """A view in which each task was submitted once, with 400 MB and 10 minutes."""

    def __init__(self, folder):
        job = Job("tasks1", "name", [], [["a"]], 400, 10)
        self.places = {"a": [Place(Submission(folder, 1, 0, "", [job], {}, {}), job, 0)]}


@pytest.mark.parametrize(
    ("state", "peak", "settings", "expected"),
    [
        ("out of memory", 390, {}, Need(800, 10)),
        ("out of memory", 900, {}, Need(1800, 10)),
        ("out of memory", 450, {}, Need(1000, 10)),  # in steps of half of what it had
        ("out of memory", 390, {"most_memory_mb": 500}, Need(500, 10)),
        ("out of memory", 390, {"most_memory_mb": 400}, None),
        ("out of time", 0, {}, Need(400, 20)),
        ("out of time", 0, {"most_minutes": 10}, None),
        ("node lost", 0, {}, Need(400, 10)),
        ("killed", 390, {"most_minutes": 10, "most_memory_mb": 400}, Need(400, 10)),
    ],
)
def test_what_is_asked_for_the_next_time(state, peak, settings, expected, tmp_path):
    status = TaskStatus("a", state, "", (replace(ATTEMPT, state=state, job_memory_mb=peak),))
    found = next_need(OneJob(tmp_path), status, Need(0, 0), SlurmSettings(**settings))
    assert found == expected
    assert wanted_by_itself(OneJob(tmp_path), status, SlurmSettings(**settings)) == (expected is not None)


def test_a_task_is_not_tried_again_for_its_own_faults(tmp_path):
    view, task = OneJob(tmp_path), Task("a", inputs=[str(tmp_path / "input")])
    for state in ("bad input", "bad parameter", "bug", "no constants", "cancelled"):
        status = TaskStatus("a", state, "", (ATTEMPT,))
        assert not wanted_by_itself(view, status, SlurmSettings())
        assert wanted_by_user(status, task) == (state in ("no constants", "cancelled"))
    (tmp_path / "input").write_text("mended")
    assert wanted_by_user(TaskStatus("a", "bad input", "", (ATTEMPT,)), task)


def test_silence_of_another_machine_is_a_lost_node(tmp_path):
    attempt = replace(begin_attempt(tmp_path), host="elsewhere")
    write_attempt(tmp_path, attempt)
    assert next(read_attempts(tmp_path)).state == "running"
    old = time.time() - 1000
    os.utime(tmp_path / "attempts" / "1" / "state.json", (old, old))
    [found] = read_attempts(tmp_path)
    assert (found.state, found.cause) == ("node lost", "no sign of life from elsewhere any more")


def test_rate():
    done = replace(ATTEMPT, state="done", ended="2026-01-01T00:01:00+00:00")
    statuses = [TaskStatus("a", "done", "", (done,)), TaskStatus("b", "waiting"), TaskStatus("c", "running")]
    found = rate_of(statuses)
    assert found.per_minute > 0
    assert found.seconds_left == pytest.approx(2 * 60 / found.per_minute)
    assert rate_of(statuses[:1]).seconds_left == 0
    assert rate_of(statuses[1:]).per_minute == 0
