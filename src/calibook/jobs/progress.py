"""How far a request is, on a terminal or in a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from calibook.jobs.state import TaskStatus


@dataclass
class Snapshot:
    """Where a request stands.

    done_before: tasks that an earlier run has done
    ended: what has ended in this run, oldest first
    running: {task: (code cells done, code cells in all)}
    """

    total: int
    done_before: int = 0
    ended: list[TaskStatus] = field(default_factory=list)
    running: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Tasks that ended without being done."""
        return sum(status.failed for status in self.ended)

    @property
    def left(self) -> int:
        """Tasks that have not ended."""
        return self.total - self.done_before - len(self.ended)


class Progress(Protocol):
    """A display, used as a context: `show` is called about twice a second."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        """Show where the request stands."""


class PlainProgress:
    """A line for each task that ended, for logs and pipes."""

    def __init__(self, console: Console):
        self.console, self.shown = console, 0

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        """Print what ended since the last time."""
        for status in snapshot.ended[self.shown :]:
            self.shown += 1
            number = f"[{snapshot.done_before + self.shown}/{snapshot.total}]"
            self.console.print(
                Text(f"{number} {_ended(status)}"), soft_wrap=True, style="red" if status.failed else ""
            )


class BarProgress:
    """A bar for the request and a line for each running task, on a terminal."""

    def __init__(self, console: Console):
        self.plain = PlainProgress(console)
        self.bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        self.total: TaskID | None = None
        self.rows: dict[str, TaskID] = {}

    def __enter__(self) -> BarProgress:
        self.bars.start()
        self.total = self.bars.add_task("tasks", note="")
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Print what ended, move the bars."""
        assert self.total is not None
        self.plain.show(snapshot)
        completed = snapshot.done_before + len(snapshot.ended)
        elapsed = next(bar.elapsed or 0.0 for bar in self.bars.tasks if bar.id == self.total)
        note = _note(snapshot, elapsed)
        self.bars.update(self.total, total=snapshot.total, completed=completed, note=note)
        for name in [*self.rows]:
            if name not in snapshot.running:
                self.bars.remove_task(self.rows.pop(name))
        for name, (done, cells) in snapshot.running.items():
            if name not in self.rows:
                self.rows[name] = self.bars.add_task(f"  {name}", total=None, note="cells")
            self.bars.update(self.rows[name], total=cells or None, completed=done)


def make_progress(console: Console) -> PlainProgress | BarProgress:
    """Bars on a terminal, plain lines elsewhere."""
    return BarProgress(console) if console.is_terminal else PlainProgress(console)


def _note(snapshot: Snapshot, elapsed: float) -> str:
    """Failures, rate and what is left: "1 failed, 12.3/min, about 4 min left"."""
    parts: Sequence[str] = [f"{snapshot.failed} failed"] if snapshot.failed else []
    if snapshot.ended and elapsed > 0:
        per_second = len(snapshot.ended) / elapsed
        parts = [*parts, f"{per_second * 60:.1f}/min", f"about {_duration(snapshot.left / per_second)} left"]
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _ended(status: TaskStatus) -> str:
    took = f" {status.last.seconds:.1f} s" if status.last else ""
    return f"{status.name}: {status.state}{took}{': ' + status.cause if status.cause else ''}"
