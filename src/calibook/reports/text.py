"""Text that a program printed, made fit for a page."""

from __future__ import annotations

import re

MAX_LINES = 120
MAX_LINE_LENGTH = 1000
TAB = 8

# Escape sequences of a terminal: colours and cursor moves (CSI), titles (OSC), the rest.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_]|[ -/]+[0-~])")

# Control characters stop TeX and are not allowed in XML; U+FFFE and U+FFFF are no characters.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")

_BACKSPACE = re.compile("[^\b\n]\b")


def clean(text: str) -> str:
    """Text without terminal sequences and control characters.

    Progress bars (carriage return, backspace) are reduced to their last state.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair can't be written
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\v", "\n").replace("\f", "\n")
    while _BACKSPACE.search(text):
        text = _BACKSPACE.sub("", text)
    lines = [_last_state(line) for line in text.split("\n")]
    return _CONTROL.sub("", "\n".join(lines)).expandtabs(TAB)


def _last_state(line: str) -> str:
    """What a terminal shows of a line after its carriage returns."""
    shown = ""
    for written in line.split("\r"):
        shown = written + shown[len(written) :]
    return shown.rstrip()


def trim(text: str, max_lines: int = MAX_LINES, max_length: int = MAX_LINE_LENGTH) -> str:
    """Text with the middle of a long output, and the end of endless lines, left out."""
    lines = [_shortened(line, max_length) for line in text.split("\n")]
    if len(lines) > max_lines:
        head, tail = max_lines * 2 // 3, max_lines // 3
        left_out = len(lines) - head - tail
        lines = [*lines[:head], f"… {left_out} lines left out …", *lines[-tail:]]
    return "\n".join(lines)


def _shortened(line: str, max_length: int) -> str:
    if len(line) <= max_length:
        return line
    return f"{line[:max_length]} … {len(line) - max_length} more characters"


def breakable(text: str, longest: int) -> str:
    """Text in which words longer than `longest` have zero-width spaces where they may be broken.

    They are broken after the signs of paths and names, and inside only what is
    still too long then.
    """

    def broken(word: re.Match[str]) -> str:
        natural = re.sub(r"([/_.,;:=&?-])(?=\w)", "\\1\u200b", word.group())
        return re.sub(rf"([^\u200b]{{{longest}}})(?=[^\u200b])", "\\1\u200b", natural)

    return re.sub(rf"\S{{{longest + 1},}}", broken, text)
