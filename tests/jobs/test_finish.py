"""Summary, verdict and what the report is given."""

from calibook.files import read_json
from calibook.jobs.finish import finish, report_content, unusual
from calibook.jobs.state import Attempt, TaskStatus, status_of
from calibook.reports.verdict import Verdict

NOTHING = Verdict([])


def verdict_of(finished):
    content = read_json(finished.verdict)
    return content["verdict"], {name: figure["value"] for name, figure in content["figures"].items()}


def test_summary_leaves_its_figures_beside_ours(ask, summary, pretend_done):
    work = ask({"a": "aa", "b": "bad"}).write()
    pretend_done(work, "a")
    work.executed("b").parent.mkdir(parents=True)
    work.executed("b").write_text("{}")
    finished = finish(work, report=False)
    assert finished.problems == ()
    assert verdict_of(finished) == (
        "fail",
        {"letters": 2, "tasks_done": 1, "tasks_failed": 1, "files_unusable": 0, "summary_failed": 0},
    )
    chapters = report_content(work, status_of(work), NOTHING, [], 1).chapters
    assert [(chapter.title, chapter.kind) for chapter in chapters] == [
        ("Capitals capitals.summary", "summary"),
        ("b", "task"),  # what failed comes first
    ]


def test_a_failing_summary_is_told_and_loses_nothing(ask, summary, pretend_done, tmp_path):
    summary.write_text(summary.read_text().replace("letters = sum", "letters = 1 / 0 #"))
    work = ask({"a": "aa"}).write()
    pretend_done(work)
    finished = finish(work, report=False)
    assert "ZeroDivisionError" in finished.problems[0]
    assert verdict_of(finished)[0] == "fail"
    assert (tmp_path / "proc" / "a.h5").read_text() == "AA"


def test_a_report_that_cannot_be_built_is_told(ask, monkeypatch):
    def fail(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr("calibook.reports.build.build_report", fail)
    finished = finish(ask({"a": "aa"}).write())
    assert finished.pdf is None
    assert finished.problems == ("report: RuntimeError: no ink",)
    assert finished.verdict.is_file()


def test_a_notebook_on_its_own_is_the_report(ask):
    work = ask({"a": "aa"}).write()
    work.executed("a").parent.mkdir(parents=True)
    work.executed("a").write_text("{}")
    content = report_content(work, status_of(work), NOTHING, [], 16)
    assert [(chapter.title, chapter.kind) for chapter in content.chapters] == [
        ("Capitals capitals", "summary")
    ]
    assert content.facts["files"] == "1"
    assert content.conditions == {"Mood": "loud"}


def ended(name, state, seconds, *before):
    """A status whose last attempt took so long, after attempts that ended in other ways."""
    attempts = [
        Attempt(n, how, "host", 1, 0.0, "", ended="x", seconds=seconds, cause=how and "why")
        for n, how in enumerate([*before, state], 1)
    ]
    return TaskStatus(name, state, "" if state == "done" else "why", tuple(attempts))


def test_what_is_unusual(ask):
    work = ask({"a": "aa"}).write()
    work.plan.problems["/raw/x.h5"] = "is empty"
    statuses = [
        *(ended(f"usual{number}", "done", 10.0) for number in range(3)),
        ended("slow", "done", 40.0),
        ended("again", "done", 10.0, "killed"),
        ended("wrong", "bug", 1.0),
    ]
    assert unusual(work, statuses) == [
        ("/raw/x.h5", "bad input", "is empty"),
        ("wrong", "bug", "why"),
        ("slow", "slow", "40 s, the median is 10 s"),
        ("again", "retried", "2 attempts; killed: why"),
    ]
