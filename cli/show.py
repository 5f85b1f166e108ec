"""Plans, states and outcomes as people read them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from calibook.procedures.tasks import all_outputs

if TYPE_CHECKING:
    from calibook.jobs.finish import Finished
    from calibook.jobs.state import TaskStatus
    from calibook.jobs.work import Work

# Rows of a table on a terminal; plan.json and `status --json` have all.
_MOST_ROWS = 20
_LOG_TAIL = 12


@cache
def console() -> Console:
    """Standard output. Text of ours only: nothing in a file's name is taken for markup."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def quoted(path: Path | str) -> str:
    """A path as one types it in a shell."""
    return shlex.quote(str(path))


def show_plan(work: Work, *, continues: bool) -> None:
    """What will be done, with what, and what it will write."""
    plan, out = work.plan, console()
    out.print(Text(work.procedure["title"] or work.procedure["name"], style="bold"))
    show_pairs({**plan.facts, **{name: str(value) for name, value in plan.conditions.items()}})
    if plan.constants:
        keys = ("calibration", "karabo_da", "pdu", "id", "begin")
        show_table("Constants", keys, ([str(c.get(key, "")) for key in keys] for c in plan.constants))
    rows = [
        [task.name, some(Path(p).name for p in task.inputs), some(Path(p).name for p in task.outputs)]
        for task in plan.tasks
    ]
    show_table("Tasks", ("task", "inputs", "outputs"), rows)
    for path, why in plan.problems.items():
        out.print(Text(f"left out: {path}: {why}", style="red"))
    memory = max(task.memory_mb for task in plan.tasks)
    folders = sorted({str(Path(path).parent) for path in all_outputs(plan.tasks)})
    show_pairs(
        {
            "outputs": f"{len(all_outputs(plan.tasks))} in {', '.join(folders)}" if folders else "",
            "disk space": f"{plan.space_mb} MB" if plan.space_mb else "",
            "memory": f"{memory} MB per task" if memory else "",
            "work folder": f"{work.folder}{' (continued)' if continues else ''}",
        }
    )


def show_status(
    work: Work,
    statuses: Sequence[TaskStatus],
    facts: Sequence[str] = (),
    *,
    goes_on: bool = False,
    brief: bool = False,
) -> None:
    """Counts, facts, a row for each task, and the end of the log of those that failed.

    goes_on: nobody needs to do anything now
    brief: rows of tasks that run or have failed alone, and not too many
    """
    out = console()
    out.print(f"{work.folder}: {_counts(statuses)}")
    for fact in facts:
        out.print(fact)
    shown = [status for status in statuses if not brief or status.failed or status.state == "running"]
    if shown:
        names = ("task", "state", "attempts", "seconds", "memory [MB]", "cause")
        show_table("", names, map(_row, shown), most=_MOST_ROWS if brief else 0)
    for path, why in work.plan.problems.items():
        out.print(Text(f"left out: {path}: {why}", style="red"))
    failed = [status for status in statuses if status.failed]
    for status in failed[:_MOST_ROWS]:
        out.print(Text(f"\n{status.name}: {status.state}: {status.cause}", style="red"))
        if status.last and status.last.cell:
            where = f"  cell {status.last.cell}, line {status.last.line}: {status.last.source_line.strip()}"
            out.print(Text(where))
        if status.action:
            out.print(Text(f"  {status.action}"))
        tail = _tail(work.log(status.name))
        if tail:
            out.print(Text(f"  end of {work.log(status.name)}:"))
        for line in tail:
            out.print(Text(f"  | {line}"))
    if not goes_on and any(status.state not in ("done", "running") for status in statuses):
        out.print(f"\nTo do what is missing: calibook resume {quoted(work.folder)}")


def show_outcome(work: Work, statuses: Sequence[TaskStatus], finished: Finished) -> None:
    """Where everything is, and a line for everything that failed."""
    out = console()
    for status in statuses:
        if status.state != "done":
            out.print(Text(f"{status.name}: {status.state}: {status.cause}", style="red"))
    for path, why in work.plan.problems.items():
        out.print(Text(f"left out: {path}: {why}", style="red"))
    for problem in finished.problems:
        out.print(Text(problem, style="red"))
    folders = sorted({str(Path(path).parent) for path in all_outputs(work.plan.tasks)})
    show_pairs(
        {
            "tasks": _counts(statuses),
            "verdict": f"{finished.status} ({finished.verdict})",
            "PDF": str(finished.pdf or ""),
            "HTML": str(finished.html or ""),
            "outputs": ", ".join(folders),
            "work folder": str(work.folder),
        }
    )
    if finished.notes:
        out.print(f"{len(finished.notes)} notes on the report in {work.folder / 'report.log'}")
    if any(status.state != "done" for status in statuses):
        out.print(f"What failed and why: calibook status {quoted(work.folder)}")


def _row(status: TaskStatus) -> list[str]:
    last = status.last
    return [
        status.name,
        status.state,
        str(status.tries),
        f"{last.seconds:.1f}" if last and last.ended else "",
        f"{last.peak_memory_mb:.0f}" if last and last.peak_memory_mb else "",
        status.cause,
    ]


def _counts(statuses: Iterable[TaskStatus]) -> str:
    counts = Counter(status.state for status in statuses)
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))


def show_pairs(pairs: Mapping[str, Any]) -> None:
    """A line for each pair that has a value."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        if str(value):
            console().print(Text(f"  {name:{width}}  {value}"))


def show_table(
    title: str, names: Sequence[str], rows: Iterable[Sequence[str]], most: int = _MOST_ROWS
) -> None:
    """A table; with `most`, so many rows and a word on the others."""
    content = list(rows)
    shown = content[:most] if most else content
    if not console().is_terminal:  # whole cells, one line a row, for logs and grep
        widths = [max(len(row[i]) for row in [names, *shown]) for i in range(len(names))]
        lines = (
            "  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) for row in [names, *shown]
        )
        console().print(Text("\n".join(line.rstrip() for line in lines)))
    else:
        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
        for name in names:
            table.add_column(name, overflow="fold")
        for row in shown:
            table.add_row(*map(Text, row))
        console().print(table, soft_wrap=False)
    if len(content) > len(shown):
        console().print(f"... and {len(content) - len(shown)} more")


def some(names: Iterable[str]) -> str:
    """Names as a text; of many, the first and the last."""
    found = list(names)
    return ", ".join(found) if len(found) <= 3 else f"{found[0]} ... {found[-1]} ({len(found)})"


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:]
    except OSError:
        return []
