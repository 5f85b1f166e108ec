"""An end to all jobs of a request."""

from __future__ import annotations

from calibook import files
from calibook.jobs.slurm import commands
from calibook.jobs.slurm.commands import SchedulerSilent
from calibook.jobs.slurm.submissions import ABANDONED
from calibook.jobs.slurm.view import look
from calibook.jobs.work import Work


def cancel(work: Work, patience: float) -> list[str]:
    """End all jobs of a request that wait or run, and try nothing again; the IDs of these jobs.

    What was done stays. Noted first: a job that starts meanwhile finds that it is not wanted.

    Raises
    ------
    SchedulerSilent: SLURM does not answer; jobs that begin from now on do nothing all the same
    """
    view = look(work, patience)
    ids = []
    for submission in view.submissions:
        active = [job for job in submission.jobs if view.active(job)]
        unknown = [job for job in submission.jobs if not submission.job_id(job)]
        if active or unknown or not view.known:
            files.write_text(submission.folder / "cancelled", "")
        for job in active:
            ids.append(submission.claim(job, view.active(job)[0].job))
        for job in unknown:
            submission.claim(job, ABANDONED)
    if not view.known:
        raise SchedulerSilent(f"{view.silence}; jobs that run go on, those that begin from now on do nothing")
    commands.cancel(ids, patience)
    return ids
