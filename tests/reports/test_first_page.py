"""The words and numbers of the first page."""

import math

import pytest
import report_samples as samples

from calibook.reports.content import ReportContent
from calibook.reports.first_page import banner, date, first_page, limits, number
from calibook.reports.verdict import Figure, Verdict


@pytest.mark.parametrize(
    "value, text",
    [
        (0.031, "0.031"),
        (-0.00021, "−0.00021"),
        (1.2345678e-5, "1.235 × 10⁻⁵"),
        (1000, "1\u202f000"),
        (-3.0, "−3"),
        (0.0, "0"),
        (12345.678, "1.235 × 10⁴"),
        (None, "not measured"),
        (math.nan, "not measured"),
        (math.inf, "∞"),
    ],
)
def test_numbers_as_people_read_them(value, text):
    assert number(value) == text


def test_limits_in_words():
    assert limits((None, 3)) == "> 3"
    assert limits((0.99, None)) == "< 0.99"
    assert limits((1, 3)) == "< 1 or > 3"
    assert limits((None, None)) == "–"


def test_dates_without_noise():
    assert date("2024-03-01T12:00:00.000000+00:00") == "2024-03-01 12:00:00"
    assert date("2024-03-01T12:00:00Z") == "2024-03-01 12:00:00"
    assert date("2024-03-01T12:00:00+02:00") == "2024-03-01T12:00:00+02:00"  # not UTC: must be seen
    assert date("yesterday") == "yesterday"


def test_the_banner_needs_no_colour():
    shown = {status: banner(samples.verdict(status)) for status in ("pass", "warn", "fail")}
    assert [shown[s]["word"] for s in shown] == ["PASS", "WARN", "FAIL"]
    assert len({shown[s]["sign"] for s in shown}) == 3
    assert shown["fail"]["sentence"] == "1 of 7 quality figures fails: noise_median."
    assert banner(None)["word"] == "NO VERDICT"


def test_few_constants_stand_one_by_one(tmp_path):
    page = first_page(samples.content(tmp_path, 0, modules=2))
    assert len(page["constants"]["rows"]) == 10
    assert page["all_constants"] is None
    assert page["constants"]["heads"] == ["Calibration", "Unit", "ID", "Valid from", "BLAKE3"]


def test_many_constants_are_summed_up_and_complete_at_the_end(tmp_path):
    page = first_page(samples.content(tmp_path, 0, modules=8))
    assert page["constants"]["rows"][0] == [
        "Offset10Hz",
        "8",
        "1000 … 1070",
        "2024-03-01 12:00:00 … 2024-03-08 12:00:00",
    ]
    assert len(page["all_constants"]["rows"]) == 40


def test_keys_of_constants_may_be_missing():
    page = first_page(ReportContent("t", constants=[{"calibration": "Offset"}, {"id": 3, "pdu": "M1"}, {}]))
    assert page["constants"]["heads"] == ["Calibration", "Unit", "ID"]
    assert page["constants"]["rows"] == [["Offset", "–", "–"], ["–", "M1", "3"], ["–", "–", "–"]]


def test_of_too_many_figures_the_bad_ones_are_shown():
    figures = [Figure(f"figure_{n}", 2 if n == 90 else 1, fail=(0, 1.5)) for n in range(100)]
    page = first_page(ReportContent("t", verdict=Verdict(figures)))
    shown = [figure["name"] for figure in page["figures"]]
    assert "figure_90" in shown and len(shown) < 50
    assert page["figures_left_out"] == 100 - len(shown)
    assert len(page["all_figures"]) == 100
