"""Tables of pandas in docutils nodes (flaw 3)."""

import numpy as np
import pandas as pd

from calibook.reports.sphinx.html_tables import Grid, tables, to_docutils


def grid_of(frame: pd.DataFrame) -> Grid:
    grids, _ = tables(frame.to_html())
    return grids[0]


def test_a_frame_has_head_and_index():
    grid = grid_of(pd.DataFrame({"a": [1, 2], "b": ["x", "<y>"]}, index=["r", "s"]))
    assert grid.rows == [["", "a", "b"], ["r", "1", "x"], ["s", "2", "<y>"]]
    assert (grid.header, grid.index) == (1, 1)
    assert [grid.is_numeric(column) for column in range(3)] == [False, True, False]


def test_spans_of_a_multi_index_keep_columns_in_line():
    columns = pd.MultiIndex.from_product([["high", "low"], ["mean", "std"]])
    index = pd.MultiIndex.from_product([["m1", "m2"], [0, 1]], names=["module", "cell"])
    grid = grid_of(pd.DataFrame(np.arange(16).reshape(4, 4), columns=columns, index=index))
    assert {len(row) for row in grid.rows} == {6}
    assert grid.rows[0] == ["", "", "high", "", "low", ""]
    assert grid.index == 2
    assert [row[2] for row in grid.rows[-4:]] == ["0", "4", "8", "12"]
    assert [row[0] for row in grid.rows[-4:]] == ["m1", "", "m2", ""]


def test_a_wide_table_is_cut_into_pieces_that_fit_each_with_its_index():
    frame = pd.DataFrame(np.ones((3, 18)), columns=[f"column_{n:02}" for n in range(18)])
    pieces = grid_of(frame).pieces(room=60)
    assert len(pieces) > 2
    assert [head for piece in pieces for head in piece.rows[0][1:]] == list(frame.columns)
    for piece in pieces:
        assert sum(map(piece.width, range(piece.columns))) <= 60
        assert [row[0] for row in piece.rows[1:]] == ["0", "1", "2"]


def test_a_column_wider_than_the_page_stands_alone():
    grid = Grid([["", "a", "b"], ["0", "x" * 500, "1"]], 1, 1)
    assert [piece.columns for piece in grid.pieces(room=40)] == [2, 2]


def test_text_beside_the_table_is_kept_and_style_is_not():
    html = "<style>td {color: red}</style><table><tr><td>1</td></tr></table><p>3 rows × 1 column</p>"
    grids, rest = tables(html)
    assert rest == "3 rows × 1 column"
    assert grids[0].rows == [["1"]] and grids[0].header == 0


def test_docutils_nodes_hold_every_cell():
    frame = pd.DataFrame(np.arange(60).reshape(3, 20), columns=[f"column_{n:02}" for n in range(20)])
    text = " ".join(node.astext() for node in to_docutils(grid_of(frame)))
    assert all(str(n) in text.split() for n in range(60))
