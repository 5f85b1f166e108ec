"""Notebooks made fit for a report (flaws 1, 9, 11, 12, 14, 16)."""

import copy

import pytest
import report_samples as samples
import report_torture as torture
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from calibook.reports.notebooks import fit


def fitted_source(*sources: str) -> list[str]:
    notebook = new_notebook(cells=[new_markdown_cell(source) for source in sources])
    return [cell.source for cell in fit(notebook, "Chapter").cells]


def fitted_output(data: dict, metadata: dict | None = None):
    output = new_output("display_data", data=data, metadata=metadata or {})
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    outputs = fit(notebook, "Chapter").cells[1].outputs
    return outputs[0].data if outputs else None


def test_the_chapters_title_takes_the_place_of_the_notebooks():
    assert fitted_source("# Old title\n\ntext", "## Part") == ["# Chapter", "\ntext", "## Part"]
    assert fitted_source("Old title\n=========\n\ntext")[1] == "\ntext"


def test_a_notebook_without_title_gets_one():
    assert fitted_source("text") == ["# Chapter", "text"]


def test_a_second_title_is_a_section_and_levels_do_not_jump():
    assert fitted_source("# A", "# B", "#### C") == ["# Chapter", "", "## B", "### C"]


def test_a_title_is_never_markup():
    cells = fit(new_notebook(), r"run_4 *x* $a$ #1 \n").cells
    assert cells[0].source == r"# run\_4 \*x\* \$a\$ \#1 \\n"


def test_headings_in_code_are_code():
    source = "# T\n\n```\n# no heading\n===\n```\n"
    assert "# no heading" in fitted_source(source)[1]


@pytest.mark.parametrize("tag", ["remove-cell", "remove_cell", "hide-cell"])
def test_cells_are_removed_by_tag(tag):
    assert len(fit(new_notebook(cells=[new_code_cell("x", metadata={"tags": [tag]})]), "C").cells) == 1


def test_input_is_hidden_by_tag_and_output_kept():
    cell = samples.stream_cell("kept\n")
    cell.metadata["tags"] = ["hide-input"]
    made = fit(new_notebook(cells=[cell]), "C").cells[1]
    assert made.metadata["transient"] == {"remove_source": True}
    assert made.outputs[0].text == "kept"


def test_pieces_of_a_progress_bar_are_joined_first():
    outputs = [new_output("stream", name="stdout", text=piece) for piece in ("  0%", "\r 50%", "\r100%\n")]
    made = fit(new_notebook(cells=[new_code_cell("x", outputs=outputs)]), "C").cells[1]
    assert [output.text for output in made.outputs] == ["100%"]


def test_each_output_is_reduced_to_the_form_that_prints_best():
    picture = torture.dot()
    table = "<table><tr><td>1</td></tr></table>"
    assert list(fitted_output({"text/html": table, "text/plain": "1"})) == ["text/html"]
    assert list(fitted_output({"image/svg+xml": torture.SVG, "image/png": picture})) == ["image/png"]
    assert fitted_output({"text/latex": "$$a$$"}) == {"text/markdown": "$$\na\n$$"}
    tabular = {"text/latex": r"\begin{tabular}{l}x\end{tabular}", "text/plain": "x"}
    assert fitted_output(tabular) == {"text/plain": "x"}
    assert fitted_output({"text/html": "<b>a</b> &amp; b"}) == {"text/plain": "a & b"}


def test_nothing_that_needs_a_browser_or_a_network_is_taken():
    script = "<table></table><script src='https://example.org'></script>"
    assert fitted_output({"text/html": script, "text/plain": "plain"}) == {"text/plain": "plain"}
    assert fitted_output({"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%"}) is None
    assert fitted_output({"application/javascript": "alert(1)"}) is None


def test_a_broken_picture_says_so_the_same_way_each_time():
    for broken in ("not base64 at all!", "iVBORw0KGgo="):
        made = fitted_output({"image/png": broken})
        assert made["text/plain"].startswith("[a picture that can't be read")
        assert "0x" not in made["text/plain"]  # no addresses: two reports are the same bytes


def test_the_notebook_itself_is_not_changed():
    notebook = torture.torture_notebook()
    before = copy.deepcopy(notebook)
    fit(notebook, "C")
    assert notebook == before
