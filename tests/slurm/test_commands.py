"""What SLURM's commands answer, as its several versions word it."""

from __future__ import annotations

import pytest

from calibook.jobs.slurm import commands
from calibook.jobs.slurm.commands import Refused, SchedulerSilent

FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (FAILED + "Unable to contact slurm controller (connect failure)", SchedulerSilent),
        (FAILED + "Socket timed out on send/recv operation", SchedulerSilent),
        (
            "sbatch: error: slurm_msg_sendto: address:port=127.0.0.1:6817 msg_type=4003: Unexpected missing "
            f"socket error\n{FAILED}Unexpected missing socket error",
            SchedulerSilent,
        ),
        (
            f"sbatch: error: slurm_receive_msg: Zero Bytes were transmitted or received\n{FAILED}Zero Bytes "
            "were transmitted or received",
            SchedulerSilent,
        ),
        (FAILED + "Communication connection failure", SchedulerSilent),
        (FAILED + "Slurm backup controller in standby mode", SchedulerSilent),
        (FAILED + "Protocol authentication error", SchedulerSilent),
        (FAILED + "Resource temporarily unavailable", SchedulerSilent),
        ("", SchedulerSilent),  # somebody killed it
        ("sbatch: error: invalid partition specified: nowhere", Refused),
        (FAILED + "Requested node configuration is not available", Refused),
        (FAILED + "Requested reservation is invalid", Refused),
        (FAILED + "Job violates accounting/QOS policy (job submit limit, user's size)", Refused),
        (FAILED + "Invalid account or account/partition combination specified", Refused),
        ("sbatch: error: Use account 'photon'; contact your local administrator", Refused),
    ],
)
def test_whether_a_job_may_have_been_taken(said, error, tmp_path, monkeypatch):
    sbatch = tmp_path / "sbatch"
    (tmp_path / "said").write_text(said)
    sbatch.write_text(f'#!/bin/sh\ncat "{tmp_path}/said" >&2\nexit 1\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises((Refused, SchedulerSilent)) as raised:
        commands.submit([], tmp_path / "script", tmp_path)
    assert type(raised.value) is error
    assert said.rpartition(": ")[2] in str(raised.value)
    assert str(raised.value).count("sbatch") == 1
