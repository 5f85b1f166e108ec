"""What a report says, before it has any looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibook.reports.verdict import Verdict


@dataclass
class Chapter:
    """An executed notebook that becomes a chapter.

    Parameters
    ----------
    title: heading of the chapter; takes the place of the notebook's own title
    notebook: path of the executed notebook
    kind: "summary" (in front) or "task" (in the appendix)
    """

    title: str
    notebook: Path
    kind: str = "summary"


@dataclass
class ReportContent:
    """Everything that is in a report.

    Parameters
    ----------
    title, subtitle: lines at the top of the first page; the title is the running head too
    facts: what was run (detector, run, times, ...): name to value
    conditions: operating conditions of the detector, names with units: name to value
    constants: constants used, each with any of the keys calibration, pdu,
        karabo_da, id, begin, end, blake3
    verdict: quality figures, None when there are none
    unusual: (task, state, cause in one line) of what failed, was retried or slow
    chapters: notebooks in the order they are shown
    software: name to version
    """

    title: str
    subtitle: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, float | str] = field(default_factory=dict)
    constants: list[dict[str, Any]] = field(default_factory=list)
    verdict: Verdict | None = None
    unusual: list[tuple[str, str, str]] = field(default_factory=list)
    chapters: list[Chapter] = field(default_factory=list)
    software: dict[str, str] = field(default_factory=dict)
