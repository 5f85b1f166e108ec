"""kill -9 at bad moments: what is done stays, what is half done is never taken for a result."""

import signal
import subprocess
import sys
import time

import psutil
import pytest

from calibook.files import read_json
from calibook.jobs.local import run_local
from calibook.jobs.lock import Locked, hold
from calibook.jobs.record import record_path
from calibook.jobs.state import status_of

TEXTS = {"a": "some words", "b": "more words", "c": "last words"}


def start_runner(work):
    command = [sys.executable, "-P", "-m", "calibook", "resume", "--no-report", "--workers", "2"]
    return psutil.Popen([*command, str(work.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def hear_ctrl_c():
    """What a shell started in the background is deaf to it, and so would be what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(happened, process, seconds=120):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        assert process.poll() is None, "the runner ended before it happened"
        time.sleep(0.01)


def kill_tree(process):
    family = [process, *process.children(recursive=True)]
    for member in family:
        member.kill()
    process.wait()
    psutil.wait_procs(family, timeout=10)


def moments(work, proc):
    """What is waited for before the kill, in this order."""
    return {
        "a task has begun": lambda: any(status.attempts for status in status_of(work)),
        "a result is half written": lambda: bool(list(proc.glob(".*.part"))),
        "a result is there": lambda: bool(list(proc.glob("*.h5"))),
    }


@pytest.fixture
def work(ask):
    return ask(TEXTS, delay=0.05).write()


def test_killed_at_any_moment_the_result_is_the_same(work, tmp_path):
    proc = tmp_path / "proc"
    for moment, happened in moments(work, proc).items():
        runner = start_runner(work)
        wait_for(happened, runner)
        kill_tree(runner)
        states = {status.state for status in status_of(work)}
        assert states <= {"killed", "done", "waiting"}, moment
        for output in proc.glob("*.h5"):
            assert output.read_text() == TEXTS[output.stem].upper(), moment
    assert [status.state for status in run_local(work)] == ["done"] * 3
    assert {path.name for path in proc.iterdir()} == {
        "calibook",
        *(f"{name}.h5" for name in TEXTS),
        *(f"{name}.record.json" for name in TEXTS),
    }
    for name, text in TEXTS.items():
        assert (proc / f"{name}.h5").read_text() == text.upper()
    assert not list(work.folder.rglob("*.part"))
    attempts = {status.name: status.tries for status in status_of(work)}
    assert max(attempts.values()) > 1
    for name, number in attempts.items():
        assert f"attempt {number} on" in work.log(name).read_text()
        assert read_json(record_path(proc / f"{name}.h5"))["attempts"] == number


def test_tasks_that_outlive_their_killed_runner_are_waited_for(ask):
    work = ask({"a": "slow words"}, delay=0.15).write()
    runner = start_runner(work)
    wait_for(lambda: any(s.state == "running" for s in status_of(work)), runner)
    runner.kill()
    runner.wait()
    assert status_of(work)[0].state == "running"
    [status] = run_local(work)
    assert (status.state, len(status.attempts)) == ("done", 1)


def test_ctrl_c_ends_the_tasks_and_says_how_to_go_on(ask):
    work = ask(TEXTS, delay=2).write()  # however late the signal comes, the tasks are at work
    command = [sys.executable, "-P", "-m", "calibook", "resume", "--no-report", str(work.folder)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=hear_ctrl_c, **pipes) as runner:
        wait_for(lambda: any(s.last and s.last.cells for s in status_of(work)), runner)
        family = psutil.Process(runner.pid).children(recursive=True)
        runner.send_signal(signal.SIGINT)
        _, said = runner.communicate(timeout=120)
    assert runner.returncode == 130
    assert f"calibook resume {work.folder}" in said
    assert not psutil.wait_procs(family, timeout=5)[1]
    ended = [status for status in status_of(work) if status.state == "killed"]
    assert ended
    assert all("stopped by signal 15" in status.cause for status in ended)


def test_one_runner_at_a_time(work):
    with hold(work.folder):
        command = [sys.executable, "-P", "-m", "calibook", "resume", str(work.folder)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"process {psutil.Process().pid} on " in second.stderr
        with pytest.raises(Locked), hold(work.folder):
            pass
    with hold(work.folder):
        pass
    assert [status.state for status in status_of(work)] == ["waiting"] * 3
