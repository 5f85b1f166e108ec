"""Which constant fits: units, conditions with tolerances, time, frozen sets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.constants import Condition, Store
from calibook.constants.matching import mismatches
from calibook.errors import BadParameter, ConstantDamaged


def dated(store, offset, facts, *begins, **more):
    """Constants that differ in the begin of their validity."""
    return [store.put(offset + i, **{**facts, "begin": begin, **more}) for i, begin in enumerate(begins)]


def test_find(store, offset, facts, asked):
    c = store.put(offset, **facts)
    assert store.find(**asked) == store.find(**{**asked, "at": datetime(2026, 11, 23, tzinfo=UTC)}) == c
    assert store.why_not(**asked) == ""
    assert store.find(**{**asked, "pdu": "Jungfrau_M036"}) is None
    assert store.find(**{**asked, "calibration": "Noise10Hz"}) is None


@pytest.mark.parametrize(
    "value, matches",
    [(9.5, True), (10.25, True), (10, True), (9.499999, False), (10.250001, False), ("10", False)],
)
def test_tolerances_include_their_edges(value, matches):
    stored = (Condition("Integration Time", 10, 0.5, 0.25),)
    assert (mismatches(stored, {"Integration Time": value}) == []) is matches


@given(
    value=st.integers(-1000, 1000),
    lower=st.integers(0, 50),
    upper=st.integers(0, 50),
    beyond=st.integers(1, 50),
)
@settings(max_examples=200, deadline=None)
def test_edges_written_in_decimals_are_inside(value, lower, upper, beyond):
    """0.8 -0.1 accepts 0.7, though in binary 0.8 - 0.1 > 0.7."""
    stored = (Condition("x", value / 10, lower / 10, upper / 10),)
    assert mismatches(stored, {"x": (value - lower) / 10}) == []
    assert mismatches(stored, {"x": (value + upper) / 10}) == []
    assert mismatches(stored, {"x": (value - lower - beyond) / 10})
    assert mismatches(stored, {"x": (value + upper + beyond) / 10})


@pytest.mark.parametrize(
    "change",
    [
        {"Integration Time": 10},
        {"Sensor Bias Voltage": 180, "Integration Time": 10, "Gain mode": 0},
        {"sensor bias voltage": 180, "Integration Time": 10},
        {},
    ],
)
def test_names_must_be_exactly_those_stored(store, offset, facts, asked, change):
    store.put(offset, **facts)
    assert store.find(**{**asked, "conditions": change}) is None


def test_text_matches_exactly(store, offset, facts, asked):
    c = store.put(offset, **{**facts, "conditions": [Condition("Memory cell order", "0,1,2,")]})
    assert store.find(**{**asked, "conditions": {"Memory cell order": "0,1,2,"}}) == c
    for other in ("0,1,2", "0,1,2, ", 0.0):
        assert store.find(**{**asked, "conditions": {"Memory cell order": other}}) is None


def test_prior_and_closest(store, offset, facts, asked):
    old, new = dated(store, offset, facts, "2026-01-01", "2026-01-11")

    def find(strategy, at):
        return store.find(**{**asked, "at": at}, strategy=strategy)

    assert find("prior", "2025-12-31T23:59:59.999Z") is None
    assert find("prior", "2026-01-01") == find("prior", "2026-01-10T23:59:59.999Z") == old
    assert find("prior", "2026-01-11") == find("prior", "2030-01-01") == new
    assert find("closest", "2020-01-01") == find("closest", "2026-01-05") == old
    assert find("closest", "2026-01-07") == new
    # Equally near: the earlier, which is not from after the data.
    assert find("closest", "2026-01-06") == old
    with pytest.raises(BadParameter, match="strategy='next'"):
        find("next", "2026-01-06")


def test_not_valid_at_or_after_the_end(store, offset, facts, asked):
    (short,) = dated(store, offset, facts, "2026-01-11", end="2026-01-12")
    (long,) = dated(store, offset + 5, facts, "2026-01-01")
    for strategy in ("prior", "closest"):
        assert store.find(**{**asked, "at": "2026-01-11T23:59:59.999Z"}, strategy=strategy) == short
        assert store.find(**{**asked, "at": "2026-01-12"}, strategy=strategy) == long


def test_of_the_same_begin_the_last_put_counts(store, offset, facts, asked):
    last = dated(store, offset, facts, "2026-01-01", "2026-01-01", "2026-01-01")[-1]
    assert store.find(**asked) == store.find(**asked, strategy="prior") == last
    assert store.find(**{**asked, "at": "2025-01-01"}) == last


def test_why_not_names_what_differs(store, offset, facts, asked):
    store.put(offset, **facts)
    conditions = asked["conditions"]

    def why(**change):
        return store.why_not(**{**asked, **change})

    assert "did you mean 'Jungfrau_M035'" in why(pdu="Jungfrau_M036")
    assert "has no Noise10Hz" in why(calibration="Noise10Hz") and "Offset10Hz" in why(calibration="Noise10Hz")
    far = why(conditions={**conditions, "Sensor Bias Voltage": 200})
    assert "Sensor Bias Voltage: asked 200.0, stored 180.0, off by 20" in far and "Integration" not in far
    assert "off by 0.75" in why(conditions={**conditions, "Integration Time": 11})
    assert "Gain mode: asked 2.0, not stored" in why(conditions={**conditions, "Gain mode": 2})
    assert "Integration Time: stored 10.0, not asked" in why(conditions={"Sensor Bias Voltage": 180})
    assert "begins later" in why(at="2020-01-01", strategy="prior")
    assert str(store.folder) in why(pdu="x")


def test_why_not_shows_the_nearest_of_several(store, offset, facts, asked):
    store.put(offset, **facts)
    nearest = store.put(offset, **{**facts, "conditions": [Condition("Sensor Bias Voltage", 180)]})
    assert f"constant {nearest.id} " in store.why_not(**{**asked, "conditions": {"Sensor Bias Voltage": 90}})


def test_frozen_sets_look_only_inside_and_never_change(store, offset, facts, asked):
    old, new = dated(store, offset, facts, "2026-01-01", "2026-01-11")
    store.freeze("paper", [old.id])
    assert store.find(**asked) == new
    assert store.find(**asked, frozen="paper") == old
    assert store.entries(frozen="paper") == [old]
    store.freeze("paper", [old.id])  # the same again is no change
    for other in ([new.id], [old.id, new.id], None):
        with pytest.raises(BadParameter, match="never changes"):
            store.freeze("paper", other)
    store.freeze("all")
    dated(store, offset + 9, facts, "2026-01-12")
    assert store.frozen_sets() == {"all": [old.id, new.id], "paper": [old.id]}
    assert Store(store.folder).find(**asked, frozen="all") == new
    assert "frozen set 'paper'" in store.why_not(**{**asked, "pdu": "x"}, frozen="paper")


def test_bad_frozen_sets(store, offset, facts, asked):
    with pytest.raises(BadParameter, match="empty"):
        store.freeze("none")
    store.put(offset, **facts)
    store.freeze("paper")
    with pytest.raises(BadParameter, match="did you mean 'paper'"):
        store.find(**asked, frozen="papr")
    with pytest.raises(BadParameter, match="no constant 77"):
        store.freeze("other", [77])
    with pytest.raises(BadParameter, match="frozen set"):
        store.freeze("../other")
    (store.folder / "frozen" / "paper.json").write_text("{")
    with pytest.raises(ConstantDamaged, match="paper"):
        store.find(**asked, frozen="paper")
    assert any("paper" in problem for problem in store.verify())


def test_units_at_positions_have_a_history(store):
    unit = ("FXE_XAD_JF1M", "JNGFR01")
    assert store.unit_of(*unit, "2026-01-01") == "FXE_XAD_JF1M_JNGFR01"
    assert store.unit_of("A", "GH200/1", "2026-01-01") == "A_GH200_1"
    store.assign(*unit, "Jungfrau_M036", "2026-02-01")
    store.assign(*unit, "Jungfrau_M035", "2026-01-01")
    store.assign("FXE_XAD_JF1M", "JNGFR02", "Jungfrau_M099", "2026-01-01")
    at = ["2025-12-31T23:59:59.999Z", "2026-01-01", "2026-01-31T23:59:59.999Z", "2026-02-01", "2030-01-01"]
    expected = ["FXE_XAD_JF1M_JNGFR01", *["Jungfrau_M035"] * 2, *["Jungfrau_M036"] * 2]
    assert [store.unit_of(*unit, moment) for moment in at] == expected
    store.assign(*unit, "Jungfrau_M035", "2026-01-01")
    assert len(store.assignments()) == 3
    with pytest.raises(BadParameter, match="is Jungfrau_M035 from 2026-01-01"):
        store.assign(*unit, "Jungfrau_M037", "2026-01-01")
    with pytest.raises(BadParameter, match="pdu"):
        store.assign(*unit, "../x", "2027-01-01")
