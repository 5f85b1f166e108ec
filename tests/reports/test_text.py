"""Printed text made fit for a page (flaws 8, 9, 14, 17)."""

import pytest

from calibook.reports.text import breakable, clean, trim


@pytest.mark.parametrize(
    "printed, shown",
    [
        ("\x1b[1;31mred\x1b[0m plain", "red plain"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b[2K\x1b[1Gline", "line"),
        ("a\x00b\x07c\x7fd\x9be", "abcde"),
        ("  0%\r 50%\r100%", "100%"),
        ("long line\rshort", "shortline"),  # as a terminal shows it
        ("windows\r\nline", "windows\nline"),
        ("wrongg\b\bt ", "wront"),
        ("page\x0cbreak", "page\nbreak"),
        ("half \ud800 pair", "half ? pair"),
        ("a\tb", "a       b"),
        ("µ ± χ² • ✓ 漢字", "µ ± χ² • ✓ 漢字"),
    ],
)
def test_only_what_a_terminal_shows_is_left(printed, shown):
    assert clean(printed) == shown


def test_the_middle_of_long_output_is_left_out_and_counted():
    lines = trim("\n".join(f"line {n}" for n in range(400)), max_lines=90).split("\n")
    assert lines[0] == "line 0" and lines[-1] == "line 399"
    assert lines[60] == "… 310 lines left out …"
    assert len(lines) == 91


def test_short_output_is_left_alone():
    text = "\n".join("abc" for _ in range(90))
    assert trim(text, max_lines=90) == text


def test_endless_lines_are_cut():
    assert trim("x" * 50, max_length=10) == "xxxxxxxxxx … 40 more characters"


def test_long_words_break_after_signs_first():
    assert breakable("short words stay", 5) == "short words stay"
    assert breakable("/gpfs/data/r0004", 8) == "/\u200bgpfs/\u200bdata/\u200br0004"
    assert breakable("x" * 25, 10) == "x" * 10 + "\u200b" + "x" * 10 + "\u200b" + "x" * 5
    assert breakable("y" * 12, 8).replace("\u200b", "") == "y" * 12
