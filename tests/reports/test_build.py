"""Whole reports: what is on the pages, and that nothing breaks them (flaws 1 to 18)."""

import os
import re
import shutil

import pypdfium2
import pytest
import report_samples as samples
import report_torture as torture

from calibook.errors import CalibookError
from calibook.reports import build, latex
from calibook.reports.build import ReportFailed, build_report
from calibook.reports.content import Chapter, ReportContent
from calibook.reports.verdict import Figure, Verdict

MM = 72 / 25.4
needs_latex = pytest.param("latex", marks=[pytest.mark.latex, pytest.mark.slow])


@pytest.fixture(scope="module", params=["typst", needs_latex])
def engine(request):
    if request.param == "latex" and not (shutil.which("lualatex") and shutil.which("latexmk")):
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("lualatex and latexmk are not installed")
    return request.param


@pytest.fixture(scope="module")
def usual(engine, tmp_path_factory):
    """A summary, one task, 8 modules with 5 constants each."""
    folder = tmp_path_factory.mktemp("usual")
    return build_report(samples.content(folder, 1, modules=8), folder / "report", engine)


@pytest.fixture(scope="module")
def tortured(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torture")
    notebook = samples.save(torture.torture_notebook(), folder / "torture.ipynb")
    chapters = [Chapter(r"Torture $x_1$ \foo #x *a*", notebook), Chapter("Again", notebook, "task")]
    nasty = r"\input{x} #panic() <b> & 50 % $y$ _z_ ~^ 漢字 " + "p" * 200
    content = samples.content(
        folder,
        title=r"Title #1 $a$ \b {c} <i>d</i>",
        facts={"Nasty": nasty, nasty: "1"},
        unusual=[("task_1 #2", "failed", nasty)],
        chapters=chapters,
    )
    return build_report(content, folder / "report", engine)


def page_texts(pdf) -> list[str]:
    with pypdfium2.PdfDocument(pdf) as document:
        return [page.get_textpage().get_text_bounded() for page in document]


def joined(pdf) -> str:
    """All text, without white space and zero-width marks, which engines set differently."""
    return squeezed("".join(page_texts(pdf)))


def squeezed(text: str) -> str:
    return re.sub(r"[\s\u200b\ufffe\u00ad]", "", text)


def test_a_usual_report_has_no_problems(usual):
    assert usual.problems == []


def test_page_one_holds_everything_that_matters(usual):
    first = squeezed(page_texts(usual.pdf)[0])
    for words in (
        "JUNGFRAU correction, run 4",
        "SPB_IRDA_JF4M",
        "WARN",
        "1 of 7 quality figures asks for attention: noise_median.",
        "/gpfs/exfel/exp/SPB/202401/p900000/raw/r0004",
        "Bias voltage [V]",
        "noise_median",
        "3.4 ADU",
        "< 2 or > 3.2",
        "trains corrected",
        "BadPixelsFF10Hz",
        "1004 … 1074",
        "2024-03-08 12:00:00",
        "The 40 constants stand one by one at the end.",
    ):
        assert squeezed(words) in first, words


def test_the_order_is_verdict_unusual_summary_tasks_tables(usual):
    text = joined(usual.pdf)
    marks = [
        "Whatwasunusual",
        "Contents",
        "(?<!A)1.2Badpixels",
        "A1JNGFR01,sequence0",
        "A1.2Badpixels",
        "Allconstants",
    ]
    places = [[found.start() for found in re.finditer(mark, text)][-1] for mark in marks]
    assert places == sorted(places)
    assert "JNGFR08" in text[places[-1] :] and "1074" in text[places[-1] :]


def test_pages_are_a4_with_number_and_running_head(usual):
    with pypdfium2.PdfDocument(usual.pdf) as document:
        assert all(page.get_size() == pytest.approx((210 * MM, 297 * MM), abs=1) for page in document)
        assert any(mark.get_title().endswith("Summary") for mark in document.get_toc())
    texts = page_texts(usual.pdf)
    for number, text in enumerate(texts[1:], 2):
        assert "JUNGFRAU correction, run 4" in text.strip()[:80] or "WARN" in text
        assert re.search(rf"\b{number}\b", text)


def test_the_pdf_shows_neither_code_nor_stderr(usual, tortured):
    text = joined(usual.pdf)
    assert "show(frame)" not in text and "print(log)" not in text
    assert "hiddenfromthePDF" not in text
    assert "2.4GB/s" in text
    assert torture.SECRET_CODE not in joined(tortured.pdf)
    assert "stderrmustnotbeseen" not in joined(tortured.pdf)


def test_the_html_shows_the_code_folded(usual):
    html = (usual.html.parent / "chapter-0001.html").read_text()
    assert '<details class="code">' in html
    assert "<math" in html and "MathJax" not in html


def test_the_html_stands_without_network(tortured):
    for page in tortured.html.parent.glob("*.html"):
        html = page.read_text()
        loads = re.findall(
            r"<(?:script|img|link|iframe|source)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>", html
        )
        assert loads == [], page.name
        assert 'alert("no")' not in html


def test_the_html_has_the_whole_first_page(usual):
    html = usual.html.read_text()
    assert "WARN" in html and "✓ pass" in html and "! warn" in html
    assert all(str(1000 + 10 * module) in html for module in range(8))
    assert 'href="chapter-0001.html"' in html


@pytest.mark.parametrize(
    "shown",
    [
        r"C:\data\raw, a bare \word",  # flaw 10: looks like TeX, is text
        r"\unknownmacro{x}",
        "a_b",
        "100% done",  # the last state of a progress bar
        "wrongright",
        "red bell",
        "287 lines left out",
        "2000 more characters",
        "line 399",
        "column_17",
        "second & more",
        "row 44",
        "w" * 200,
        "a plain x",
        "html only & more",
        "plotly plain",
        "bold display",
        "shown without input",
        "ValueError: why {x}",
        "Careful in a box",
        "A hint in a box",
        "picture not included: https://example.org/remote.png",
        "fenced # heading",
        "A footnote.",
        "кириллица",
        "O" * 80,
        "Line one line two",
        r"\input{x} #panic() <b> & 50 % $y$ _z_ ~^",
        "p" * 200,
        r"Title #1 $a$ \b {c} <i>d</i>",
        r"Torture $x_1$ \foo #x *a*",
    ],
)
def test_everything_a_reader_needs_survives_torture(tortured, shown):
    assert squeezed(shown) in joined(tortured.pdf)


@pytest.mark.parametrize(
    "hidden",
    [
        "hidden by nbsphinx",
        "removed with its cell",
        "removed output",
        "undefined raw cell",
        "0/5",
        "line 200\n",
    ],
)
def test_what_is_hidden_stays_hidden(tortured, hidden):
    assert hidden not in "\n".join(page_texts(tortured.pdf)).replace("\r\n", "\n")


def test_bare_environments_are_formulas(tortured):
    text = joined(tortured.pdf)
    assert "begin{align}" not in text and "eq:one" not in text


def test_nothing_leaves_the_page(tortured, usual):
    """Every letter and picture lies between the margins, two millimetres of grace."""
    for report in (tortured, usual):
        with pypdfium2.PdfDocument(report.pdf) as document:
            for number, page in enumerate(document, 1):
                for kind in (pypdfium2.raw.FPDF_PAGEOBJ_TEXT, pypdfium2.raw.FPDF_PAGEOBJ_IMAGE):
                    for thing in page.get_objects(filter=[kind]):
                        left, bottom, right, top = thing.get_bounds()
                        assert left > 18 * MM and right < 192 * MM, (number, kind)
                        assert bottom > 5 * MM and top < 292 * MM, (number, kind)


def test_what_announces_a_picture_stands_on_its_page(usual):
    """Where a picture does not fit any more, heading and paragraph move with it."""
    announced = [len(re.findall(r"Picture \d is of one module", text)) for text in page_texts(usual.pdf)]
    with pypdfium2.PdfDocument(usual.pdf) as document:
        kind = [pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]
        shown = [len(list(page.get_objects(filter=kind))) for page in document]
    assert announced == shown and sum(shown) == 2 * 6


def test_pictures_keep_their_size_and_shrink_to_the_page(tortured):
    with pypdfium2.PdfDocument(tortured.pdf) as document:
        boxes = [
            thing.get_bounds()
            for page in document
            for thing in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])
        ]
    sizes = [(right - left, top - bottom) for left, bottom, right, top in boxes]
    assert any(size == pytest.approx((6 * 72, 4 * 72), rel=0.01) for size in sizes)  # 6 x 4 inches fit
    assert max(width for width, _ in sizes) <= 170.5 * MM  # 16 x 12 inches do not
    assert max(height for _, height in sizes) <= 260 * MM


def test_problems_name_the_chapter_and_only_bad_formulas_and_glyphs(tortured):
    formulas = [
        problem for problem in tortured.problems if not problem.startswith("lualatex: Missing character")
    ]
    assert len(formulas) == 6  # three in each of the two chapters
    assert all("formula shown as TeX source" in problem for problem in formulas)
    assert sum(problem.startswith("Again") for problem in formulas) == 3


def test_two_reports_are_the_same_bytes(engine, tmp_path):
    content = samples.content(tmp_path, 0)
    first, second = (build_report(content, tmp_path / place, engine) for place in ("a", "a long other place"))
    assert first.pdf.read_bytes() == second.pdf.read_bytes()
    pages = [{path.name: path.read_bytes() for path in r.html.parent.glob("*.html")} for r in (first, second)]
    assert pages[0] == pages[1]


def test_a_failed_report_leaves_the_one_before(tmp_path, monkeypatch):
    content = ReportContent("Small", verdict=Verdict([Figure("a", 1.0, fail=(0, 2))]))
    (tmp_path / "r" / ".report.1-abc.part" / "project").mkdir(parents=True)  # of a build that was killed
    good = build_report(content, tmp_path / "r")
    before = {path: path.read_bytes() for path in (good.pdf, good.html)}
    assert "PASS" in page_texts(good.pdf)[0]
    monkeypatch.setattr(build, "_run_sphinx", lambda *_: ("said", "broken: no chapters", False))
    with pytest.raises(ReportFailed, match=r"report\.log.*broken: no chapters"):
        build_report(content, tmp_path / "r")
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["html", "report.log", "report.pdf"]


def test_bad_requests_say_what_is_wrong(tmp_path, monkeypatch):
    with pytest.raises(CalibookError, match="'word'; there are typst and latex"):
        build_report(ReportContent("t"), tmp_path, engine="word")
    with pytest.raises(CalibookError, match=r"chapter One: can't read .*missing\.ipynb"):
        build_report(ReportContent("t", chapters=[Chapter("One", tmp_path / "missing.ipynb")]), tmp_path)
    (tmp_path / "bad.ipynb").write_text("{")
    with pytest.raises(CalibookError, match=r"chapter One: .*bad\.ipynb is not a notebook"):
        build_report(ReportContent("t", chapters=[Chapter("One", tmp_path / "bad.ipynb")]), tmp_path)
    monkeypatch.setattr(latex.shutil, "which", lambda tool: None)
    with pytest.raises(CalibookError, match=r"lualatex and latexmk.*apt-get install .*texlive-luatex"):
        build_report(ReportContent("t"), tmp_path, engine="latex")
    assert not list(tmp_path.glob(".report*"))


@pytest.mark.slow
def test_page_one_holds_as_many_figures_as_fit(tmp_path):
    figures = [
        Figure(f"figure_number_{n}", n, "ADU", "a meaning of medium length, as usual", (None, 40), (None, 50))
        for n in range(60)
    ]
    content = samples.content(tmp_path, 0, modules=8, verdict=Verdict(figures))
    texts = page_texts(build_report(content, tmp_path / "r").pdf)
    assert "figure_number_59" in texts[0]
    assert "The 40 constants stand one by one at the end." in texts[0]
    assert "All quality figures" in "".join(texts[2:])
