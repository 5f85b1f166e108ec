"""Figures against limits, and the JSON that others read."""

import json
import math

import numpy as np
import pytest

from calibook.errors import CalibookError
from calibook.reports.verdict import Figure, Verdict


@pytest.mark.parametrize(
    "value, status",
    [
        (0.0, "pass"),
        (2.0, "pass"),  # a limit itself is still good
        (2.0001, "warn"),
        (-1.5, "warn"),
        (5.0, "warn"),
        (5.1, "fail"),
        (-3.1, "fail"),
        (math.inf, "fail"),
        (math.nan, "fail"),
        (None, "fail"),
    ],
)
def test_a_value_is_judged_by_its_limits(value, status):
    assert Figure("offset_bias", value, "ADU", warn=(-1.0, 2.0), fail=(-3.0, 5.0)).status == status


def test_one_sided_limits():
    assert Figure("found", 0.98, warn=(0.99, None), fail=(0.9, None)).status == "warn"
    assert Figure("found", 0.8, warn=(0.99, None), fail=(0.9, None)).status == "fail"
    assert Figure("found", 1e9, fail=(0.9, None)).status == "pass"


def test_a_figure_without_limits_informs_and_never_decides():
    unmeasured = Figure("trains", None)
    assert unmeasured.status == "info"
    assert Verdict([unmeasured]).status == "pass"
    assert Verdict([]).status == "pass"


def test_the_worst_figure_is_the_verdict():
    good = Figure("a", 1, warn=(0, 2))
    odd = Figure("b", 3, warn=(0, 2))
    bad = Figure("c", 3, fail=(0, 2))
    assert Verdict([good]).status == "pass"
    assert Verdict([odd, good]).status == "warn"
    assert Verdict([bad, odd, good]).status == "fail"


def test_two_figures_of_one_name_are_refused():
    with pytest.raises(CalibookError, match="noise"):
        Verdict([Figure("noise", 1), Figure("noise", 2)])


def test_json_has_stable_names_and_no_nan(tmp_path):
    path = tmp_path / "verdict.json"
    figures = [
        Figure("offset_bias", np.float32(0.25), "ADU", "mean distance", (None, 0.5), (None, 1.0)),
        Figure("lost", math.nan, "", "", (0, None)),
        Figure("bad_pixels", np.int64(12)),
    ]
    Verdict(figures).write(path)
    text = path.read_text()
    assert "NaN" not in text
    stored = json.loads(text)
    assert stored["verdict"] == "fail"
    assert stored["figures"]["offset_bias"] == {
        "value": 0.25,
        "unit": "ADU",
        "meaning": "mean distance",
        "warn": [None, 0.5],
        "fail": [None, 1.0],
        "status": "pass",
    }
    assert stored["figures"]["lost"]["value"] is None
    assert '"value": 12,' in text
    again = Verdict.read(path)
    assert again.to_dict() == stored


@pytest.mark.parametrize("text", ["", "[]", '{"figures": {"a": 1}}', '{"figures": {"a": {"value": 1}}}'])
def test_a_file_that_is_no_verdict_says_so(tmp_path, text):
    path = tmp_path / "verdict.json"
    path.write_text(text)
    with pytest.raises(CalibookError, match=r"verdict\.json is not a verdict"):
        Verdict.read(path)
