"""Where the tasks of a request stand: their own records first, then what SLURM says of their jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from calibook.files import read_json
from calibook.jobs.slurm.commands import Entry, SchedulerSilent, queue
from calibook.jobs.slurm.ends import how_it_ended
from calibook.jobs.slurm.submissions import ABANDONED, Job, Submission, read_submissions
from calibook.jobs.state import Attempt, TaskStatus, begin_attempt, end_attempt, status_of
from calibook.jobs.work import Work

_OVER = "its job ended"


@dataclass(frozen=True)
class Place:
    """The element of an array that is to do a task; turn: the task's place among its tasks, from 0."""

    submission: Submission
    job: Job
    index: int
    turn: int = 0

    def holds(self, attempt: Attempt | None) -> bool:
        """Whether an attempt was made by this element."""
        mine = attempt is not None and attempt.job_name == self.job.name
        return mine and attempt is not None and attempt.job.rpartition("_")[2] == str(self.index)


class View:
    """A request, its submissions, and one look at the queue.

    entries: what SLURM knows of the jobs; None if it does not answer
    silence: why it does not
    """

    def __init__(
        self,
        work: Work,
        submissions: Sequence[Submission],
        entries: Iterable[Entry] | None,
        silence: str = "",
    ):
        self.work, self.submissions, self.silence = work, list(submissions), silence
        self.known = entries is not None
        self.entries = {(entry.name, entry.index): entry for entry in entries or ()}

    @property
    def newest(self) -> Submission | None:
        """The newest submission of which anything became."""
        there = [s for s in self.submissions if s.job_id(s.finish) != ABANDONED]
        return there[-1] if there else None

    @cached_property
    def places(self) -> dict[str, list[Place]]:
        """Where each task was submitted, oldest first."""
        found: dict[str, list[Place]] = {}
        for submission in self.submissions:
            for job in submission.arrays:
                if submission.job_id(job) == ABANDONED:
                    continue
                for index, group in enumerate(job.groups):
                    for turn, name in enumerate(group):
                        found.setdefault(name, []).append(Place(submission, job, index, turn))
        return found

    def entry(self, job: Job, index: int = -1) -> Entry | None:
        """What SLURM knows of an element, or of the job that finishes."""
        return self.entries.get((job.name, index))

    def active(self, job: Job) -> list[Entry]:
        """Elements of a job that wait or run."""
        return [entry for (name, _), entry in self.entries.items() if name == job.name and entry.active]

    def live_place(self, status: TaskStatus) -> tuple[Place, Entry] | None:
        """Where a task waits or runs now."""
        for place in reversed(self.places.get(status.name, [])):
            entry = self.entry(place.job, place.index)
            if entry is None or not entry.active:
                continue
            mine = [attempt for attempt in status.attempts if place.holds(attempt)]
            if not mine or mine[-1].state == "running":
                return place, entry
        return None

    def finish_state(self) -> str:
        """How far the job is that makes summary and report, in a few words."""
        submission = self.newest
        if submission is None:
            return "not submitted; `calibook resume` does it"
        if submission.cancelled:
            return "cancelled; `calibook resume` goes on"
        result = submission.folder / "finished.json"
        if result.is_file():
            content = read_json(result)
            return f"made, verdict {content['status']}{''.join(f'; {text}' for text in content['problems'])}"
        job = submission.job_id(submission.finish)
        active = self.active(submission.finish)
        if active:
            return f"job {job} {_in_words(active[0])}"
        return (
            f"job {job or '(not submitted)'} is gone; `calibook resume` does it"
            if self.known
            else f"job {job}"
        )

    def statuses(self) -> list[TaskStatus]:
        """Where all tasks stand, in the order of the plan."""
        return [self._explained(status) for status in status_of(self.work)]

    def _explained(self, status: TaskStatus) -> TaskStatus:
        places = self.places.get(status.name, [])
        if status.state == "done" or not places:
            return status
        live = self.live_place(status)
        if live:
            return self._live(status, *live)
        last = status.last
        if status.state == "running":
            gone = f"SLURM no longer knows its job {last.job if last else ''}, but it lives"
            return replace(status, cause=gone) if self.known else status
        place = places[-1]
        if place.holds(last):
            if last is None or last.state not in ("killed", "node lost"):
                return status
            state, cause = how_it_ended(
                last, place.submission.log(place.job, place.index), self._entry(place)
            )
            return replace(status, state=state, cause=cause)
        return self._never_began(status, place) if self.known else replace(status, cause="submitted")

    def _live(self, status: TaskStatus, place: Place, entry: Entry) -> TaskStatus:
        if status.state == "running":
            return status
        if entry.state == "PENDING":
            return replace(status, state="waiting", cause=f"queued as job {entry.id}: {_reason(entry)}")
        return replace(status, state="waiting", cause=f"job {entry.id} has begun and comes to it")

    def _never_began(self, status: TaskStatus, place: Place) -> TaskStatus:
        """The task's newest job is over, and the task was not begun in it."""
        entry, log = self._entry(place), place.submission.log(place.job, place.index)
        if place.turn or (entry is None and not log.is_file()):
            return replace(status, state="waiting", cause=f"{_OVER} before its turn")
        state, cause = how_it_ended(None, log, entry)
        return replace(status, state=state, cause=f"{_OVER} before the task began: {cause}")

    def _entry(self, place: Place) -> Entry | None:
        return self.entry(place.job, place.index)

    def settle(self) -> list[TaskStatus]:
        """Write what SLURM says of killed attempts into their state files, as SLURM forgets; all tasks."""
        found = self.statuses()
        for status in found:
            self._settle(status)
        return found

    def _settle(self, status: TaskStatus) -> None:
        folder = self.work.plan.task_folder(status.name)
        places = self.places.get(status.name, [])
        if not status.failed or not places:
            return
        last, place = status.last, places[-1]
        if last is not None and place.holds(last):
            if not last.ended or (last.state, last.cause) != (status.state, status.cause):
                end_attempt(folder, last, status.state, status.cause)
        elif status.cause.startswith(_OVER):
            job_id = f"{place.submission.job_id(place.job)}_{place.index}"
            attempt = begin_attempt(folder, 0, job_name=place.job.name, job=job_id)
            end_attempt(folder, attempt, status.state, status.cause)


def _in_words(entry: Entry) -> str:
    if entry.reason == "Dependency":
        return "waits until the tasks have ended"
    return entry.state.lower() + (f": {_reason(entry)}" if entry.reason not in ("None", "") else "")


def _reason(entry: Entry) -> str:
    return entry.reason + ("; `calibook resume` frees it" if entry.held else "")


def look(work: Work, patience: float) -> View:
    """A request as it stands. SLURM is asked once, and only if something was submitted.

    patience: how long SLURM may take to answer [s]
    """
    submissions = read_submissions(work)
    names = [job.name for submission in submissions for job in submission.jobs]
    try:
        return View(work, submissions, queue(names, patience))
    except SchedulerSilent as error:
        return View(work, submissions, None, str(error))
