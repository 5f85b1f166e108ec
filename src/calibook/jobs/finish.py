"""After the tasks: the summary notebook, the verdict, the report.

Whatever failed, all that is there is shown, and what failed is named.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibook.errors import CalibookError
from calibook.jobs.state import TaskStatus, one_line, status_of
from calibook.jobs.summary import executed_summary, summarise
from calibook.jobs.warm import WarmParent
from calibook.jobs.work import Work
from calibook.procedures.notebook import read_procedure
from calibook.reports.content import Chapter, ReportContent
from calibook.reports.verdict import Figure, Verdict

APPENDIX = 16
# A task is slow if it took this many times the median, and this much longer [s].
_SLOW_FACTOR, _SLOW_SECONDS = 3.0, 10.0


@dataclass(frozen=True)
class Finished:
    """What a request leaves for people.

    pdf, html: None if the report was not built
    verdict: path of `verdict.json`; status: pass, warn or fail
    problems: what went wrong with summary or report, a line each
    notes: what is not perfect about the report: a missing glyph, a formula shown as source
    """

    pdf: Path | None
    html: Path | None
    verdict: Path
    status: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def finish(
    work: Work,
    engine: str = "typst",
    *,
    report: bool = True,
    appendix: int = APPENDIX,
    warm: WarmParent | None = None,
) -> Finished:
    """Run the summary notebook, write `verdict.json`, build the report into the work folder.

    engine: "typst" or "latex"
    appendix: how many task notebooks the report shows at most
    warm: what has loaded all that the summary needs
    """
    statuses = status_of(work)
    verdict_file = work.folder / "verdict.json"
    verdict_file.unlink(missing_ok=True)  # of an earlier finish
    problems = _summarise(work, statuses, warm)
    summary_failed = bool(problems)
    figures: list[Figure] = []
    if verdict_file.is_file():
        try:
            figures = list(Verdict.read(verdict_file).figures)
        except CalibookError as error:
            problems.append(one_line(str(error)))
    ours = _our_figures(work, statuses, summary_failed)
    names = {figure.name for figure in ours}
    verdict = Verdict([*(figure for figure in figures if figure.name not in names), *ours])
    verdict.write(verdict_file)
    found = Finished(None, None, verdict_file, verdict.status, tuple(problems))
    if not report:
        return found
    return _with_report(found, work, report_content(work, statuses, verdict, problems, appendix), engine)


def _summarise(work: Work, statuses: Sequence[TaskStatus], warm: WarmParent | None) -> list[str]:
    """Run the summary notebook, if there is one and anything to summarise; what went wrong."""
    executed_summary(work).unlink(missing_ok=True)
    if not work.summary_notebook.is_file():
        return []
    if not any(status.state == "done" for status in statuses):
        return ["summary: not made, as no task is done"]
    problem = summarise(work, warm)
    return [problem] if problem else []


def _with_report(found: Finished, work: Work, content: ReportContent, engine: str) -> Finished:
    from calibook.reports.build import build_report

    try:
        built = build_report(content, work.folder, engine)
    except Exception as error:  # a report that can't be built must not hide the results
        problem = one_line(f"report: {type(error).__name__}: {error}")
        return replace(found, problems=(*found.problems, problem))
    notes = tuple(one_line(note) for note in built.problems)
    return replace(found, pdf=built.pdf, html=built.html, notes=notes)


def _our_figures(work: Work, statuses: Sequence[TaskStatus], summary_failed: bool) -> list[Figure]:
    """Figures that every request has, whatever its procedure."""
    done = sum(status.state == "done" for status in statuses)
    failed = len(statuses) - done
    none = (None, 0)
    figures = [
        Figure("tasks_done", done, meaning="tasks whose outputs are complete"),
        Figure("tasks_failed", failed, meaning="tasks without complete outputs", fail=none),
        Figure("files_unusable", len(work.plan.problems), meaning="files left out of the plan", fail=none),
    ]
    if work.summary_notebook.is_file():
        figures.append(Figure("summary_failed", int(summary_failed), meaning="summary not made", fail=none))
    return figures


def report_content(
    work: Work, statuses: Sequence[TaskStatus], verdict: Verdict, problems: Sequence[str], appendix: int
) -> ReportContent:
    """All that the report says."""
    facts = work.plan.facts
    return ReportContent(
        title=work.procedure["title"] or work.procedure["name"],
        subtitle=", ".join(f"{name} {value}" for name, value in list(facts.items())[:2]),
        facts={**facts, "request": work.id[:8], "planned": work.content["created"]},
        conditions={**work.plan.conditions},
        constants=work.plan.constants,
        verdict=verdict,
        unusual=[*unusual(work, statuses), *(("report", "failed", problem) for problem in problems)],
        chapters=_chapters(work, statuses, appendix),
        software=work.content["software"],
    )


def unusual(work: Work, statuses: Sequence[TaskStatus]) -> list[tuple[str, str, str]]:
    """(task or file, state, cause in one line) of what failed, was left out, retried or slow."""
    found = [(path, "bad input", one_line(why)) for path, why in work.plan.problems.items()]
    found += [(s.name, s.state, _cause(s)) for s in statuses if s.state != "done"]
    done = [s for s in statuses if s.state == "done"]
    median = statistics.median([_seconds(s) for s in done]) if done else 0.0
    for status in done:
        if status.tries > 1:
            ends = ", ".join(f"{a.state}: {a.cause}" for a in status.attempts if a.state != "done")
            found.append((status.name, "retried", f"{status.tries} attempts; {ends or 'made again'}"))
        seconds = _seconds(status)
        if seconds > max(_SLOW_FACTOR * median, median + _SLOW_SECONDS):
            found.append((status.name, "slow", f"{seconds:.0f} s, the median is {median:.0f} s"))
    return found


def _chapters(work: Work, statuses: Sequence[TaskStatus], appendix: int) -> list[Chapter]:
    """The summary, then tasks: those that failed first."""
    title = work.procedure["title"] or work.procedure["name"]
    chapters = []
    summary = executed_summary(work)
    if summary.is_file():
        chapters.append(Chapter(read_procedure(work.summary_notebook).title or title, summary, "summary"))
    ordered = sorted(statuses, key=lambda status: status.state == "done")
    executed = [(status.name, work.executed(status.name)) for status in ordered]
    tasks = [(name, path) for name, path in executed if path.is_file()]
    if not chapters and len(work.plan.tasks) == 1:  # a notebook on its own is the report
        return [Chapter(title, path, "summary") for _, path in tasks]
    return chapters + [Chapter(name, path, "task") for name, path in tasks[:appendix]]


def _cause(status: TaskStatus) -> str:
    where = f" (cell {status.last.cell}, line {status.last.line})" if status.last and status.last.cell else ""
    return status.cause + where


def _seconds(status: TaskStatus) -> float:
    return status.last.seconds if status.last else 0.0
