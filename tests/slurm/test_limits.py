"""Never more jobs at a time than asked for, whatever number of arrays they are in."""

from __future__ import annotations

import json

import pytest
from cluster import fake

from calibook.jobs.slurm.intent import waves


@pytest.mark.parametrize(
    ("sizes", "most", "running", "expected"),
    [
        ([1001, 599], 0, 500, [0, 0]),  # no limit
        ([200, 200], 200, 0, [0, 1]),
        ([200, 100, 100, 1], 200, 0, [0, 1, 1, 2]),
        ([1, 1, 1], 2, 0, [0, 0, 1]),
        ([3, 2], 10, 5, [0, 0]),  # beside what runs
        ([6, 4], 10, 5, [1, 1]),  # after it
        ([5, 6, 4], 10, 5, [0, 1, 1]),
        ([], 10, 5, []),
    ],
)
def test_arrays_of_a_wave_are_never_more_than_allowed(sizes, most, running, expected):
    assert waves(sizes, most, running) == expected


@pytest.mark.slurm
def test_a_limit_below_the_number_of_arrays_holds(slurm, shout, calibook, wait_until, tmp_path, monkeypatch):
    show = 'case "$*" in "show config") echo "MaxArraySize = 2";; *) exec "$real" "$@";; esac'
    fake(tmp_path / "bin", "scontrol", show, monkeypatch)
    work = shout(tmp_path, {f"s{i}": "wait" for i in range(6)}, "--max-jobs", 2)

    def begun():
        return {path.parent.name for path in work.glob("tasks/*/attempts")}

    def all_wait_for_others(number):
        reasons = slurm.reasons()
        return len(reasons) == number and set(reasons.values()) == {"Dependency"}

    wait_until(lambda: begun() == {"s0", "s1"})
    wait_until(lambda: all_wait_for_others(5))  # s2 to s5, and the one that finishes
    second = (work / "slurm" / "1" / "tasks2.job").read_text().strip()
    slurm.ask("scancel", f"{second}_0")
    said = calibook("resume", "--no-report", "--max-jobs", 2, work)
    assert "5 tasks are in the queue since before" in said
    wait_until(lambda: all_wait_for_others(6))  # s3 to s5, s2 anew, two that finish
    assert begun() == {"s0", "s1"}
    for name in begun():
        (tmp_path / "raw" / f"{name}.go").touch()
    wait_until(lambda: begun() == {"s0", "s1", "s3"})
    for name in ("s2", "s3", "s4", "s5"):
        (tmp_path / "raw" / f"{name}.go").touch()
    wait_until(lambda: not slurm.jobs())
    assert json.loads(calibook("status", "--json", work))["counts"] == {"done": 6}
