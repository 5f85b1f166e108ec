"""What flat fields and scans leave for the summary, the figures made of it, and what they need."""

from dataclasses import replace

import numpy as np
import pytest

from calibook.calibration.agipd.flatfield import FlatField
from calibook.calibration.agipd.flatfield_results import cut_rows, flat_field_figures, flat_field_results
from calibook.calibration.agipd.gains import FLAT_FIELD, PULSED_CAPACITOR, with_previous
from calibook.calibration.agipd.scan import ModuleScan
from calibook.calibration.agipd.scan_results import hook_truth, scan_figures
from calibook.calibration.agipd.spectra import ModuleFlatField, PeakOptions, typical_values
from calibook.calibration.load import TaskConstants
from calibook.calibration.made import put_constants
from calibook.calibration.summaries.gains import change_figures, gain_change, gain_truth, pick_pixels
from calibook.constants import Store
from calibook.detectors.agipd import AGIPD, SLOPES_PC
from calibook.detectors.bad_pixels import BadPixels
from calibook.errors import BadParameter
from calibook.kernels.peaks import GOOD, PEAKS, PeakFits
from calibook.procedures.tasks import Plan, Task

SHAPE, PIXELS = (4, 5), 20
TASK = Task("AGIPD07", {"module": 7, "unit": "UNIT", "karabo_da": "AGIPD07"})
OPTIONS = PeakOptions(8.0)


def fits():
    of = {name: np.full((1, PIXELS), value) for name, value in
          {"position": 0.0, "position_error": 0.1, "spacing": 56.0, "spacing_error": 0.4, "width": 8.0,
           "width_error": 0.1, "deviance": 1.0}.items()}  # fmt: skip
    amplitude = np.tile([500.0, 600, 150, 50, 10], (1, PIXELS, 1))
    return PeakFits(**of, amplitude=amplitude[..., :PEAKS], status=np.full((1, PIXELS), GOOD, "u1"))


@pytest.fixture
def flat():
    """Two cells; in the second all is bad."""
    gain = 7 + np.linspace(-0.2, 0.2, PIXELS).reshape(1, *SHAPE)
    gain, error = np.repeat(gain, 2, 0).astype("f4"), np.full((2, *SHAPE), 0.05, "f4")
    bad = np.zeros((2, *SHAPE), "u4")
    bad[0, 1, 2] = BadPixels.FF_GAIN_DEVIATION
    bad[1] = BadPixels.FF_NO_ENTRIES
    error[bad != 0] = np.nan
    cuts = {"too few photons": np.array([0, PIXELS]), "gain deviates": np.array([1, 0])}
    whole = FlatField(gain, error, bad, cuts)
    cells = [
        replace(whole, gain=gain[c : c + 1], gain_error=error[c : c + 1], bad=bad[c : c + 1]) for c in (0, 1)
    ]
    typical = [typical_values(cell, fits()) for cell in cells]
    return ModuleFlatField(
        whole, np.array([900, 0]), {name: np.array([t[name] for t in typical]) for name in typical[0]},
        OPTIONS.new_spectra(PIXELS), fits(),
    )  # fmt: skip


def test_figures_of_a_flat_field(flat):
    result = flat_field_results(TASK, flat, OPTIONS)
    found = {figure.name: figure for figure in flat_field_figures({"AGIPD07": result})}
    assert found["gain"].value == pytest.approx(7, abs=0.02)
    assert found["gain_error"].value == pytest.approx(0.05 / 7, rel=0.01)
    assert found["photons"].value == 600 + 2 * 150 + 3 * 50 + 4 * 10
    assert found["cells_without_gain"].value == 1 and found["cells_without_gain"].status == "warn"
    assert found["bad_pixels"].value == pytest.approx((1 / PIXELS + 1) / 2)
    assert found["bad_pixels"].status == "fail" and found["frames_used"].value == 0


def test_samples_are_good_pixels_and_one_of_each_kind_of_bad_ones(flat):
    result = flat_field_results(TASK, flat, OPTIONS)
    titles = result["sample_titles"].tolist()
    assert titles == [
        "low: pixel 0, 0", "typical: pixel 2, 0", "high: pixel 3, 3", "FF_GAIN_DEVIATION: pixel 1, 2",
    ]  # fmt: skip
    assert result["sample_counts"].shape == result["sample_expected"].shape == (4, len(result["centres"]))
    # 3.25 photons are in the spectrum: all events but those of four.
    assert result["sample_expected"][0].sum() == pytest.approx(1300, rel=0.02)
    [row] = cut_rows({"AGIPD07": result})
    assert row == {"module": "AGIPD07", "too few photons": "50.000%", "gain deviates": "2.500%"}


def test_nothing_good_gives_no_samples_of_good_pixels():
    words = np.full(SHAPE, int(BadPixels.CI_EVAL_ERROR), "u4")
    picked = pick_pixels(np.full(SHAPE, np.nan), words, [BadPixels.CI_EVAL_ERROR])
    assert picked == {"CI_EVAL_ERROR: pixel 2, 0": 10}


def test_figures_of_a_scan():
    values = {"high slope": 28.0, "medium slope": 0.875, "high deviation": 12.0, "medium deviation": 11.0}
    slopes = np.stack([np.full((2, *SHAPE), values.get(name, 0), "f4") for name in SLOPES_PC], 1)
    scan = ModuleScan(
        slopes,
        np.zeros((2, *SHAPE), "u4"),
        np.full((2, *SHAPE), 0.32, "f4"),
        np.full((2, 2, *SHAPE), 99, "u2"),
    )
    np.testing.assert_allclose(scan.ratio, 32)
    typical = {f"typical_{line}_{what}": np.full(2, values[f"{line} {what}"])
               for line in ("high", "medium") for what in ("slope", "deviation")}  # fmt: skip
    typical |= {f"typical_{name}": np.full(2, value) for name, value in
                {"ratio": 32.0, "error": 0.32, "spread": 1.0}.items()}  # fmt: skip
    result = {**typical, "bad_share": np.array([0.0, 0.04]), "fewest_points": np.array([99, 40])}
    found = {figure.name: figure for figure in scan_figures({"AGIPD07": result})}
    assert found["ratio_error"].value == pytest.approx(0.01)
    assert found["points_high"].status == "pass" and found["points_medium"].status == "warn"
    assert found["bad_pixels"].value == pytest.approx(0.02)


def test_the_change_since_earlier_constants(flat):
    earlier = flat.flat.gain[:1] / 1.03
    earlier[0, 3, 4] = np.nan  # had no gain of its own
    found = gain_change(flat.flat.gain, earlier, flat.flat.bad, 0)
    np.testing.assert_allclose(found["change"].ravel()[:-1], 0.03, rtol=1e-4)
    np.testing.assert_allclose(
        found["typical_change"], [0.03, np.nan], rtol=1e-4
    )  # all bad in the second cell
    assert gain_change(flat.flat.gain, np.ones((3, *SHAPE)), flat.flat.bad, 0) == {}
    [figure] = change_figures("gain", {"AGIPD07": found, "AGIPD08": {}}, 0.02)
    assert figure.name == "gain_change" and figure.status == "warn"
    assert figure.value == pytest.approx(0.03, rel=1e-4)
    assert change_figures("gain", {"AGIPD08": {}}, 0.02) == []
    result = flat_field_results(TASK, flat, OPTIONS, earlier[:, None])
    assert {f.name for f in flat_field_figures({"AGIPD07": result})} >= {"gain", "gain_change"}


def test_the_constant_before_is_pinned_and_not_the_one_that_a_request_makes(tmp_path):
    conditions = {"Memory cells": 4.0, "Sensor Bias Voltage": 300.0, "Pixels X": 512.0, "Pixels Y": 128.0,
                  "Acquisition rate": 1.1, "Gain setting": 0.0, "Source energy": 9.2}  # fmt: skip
    store, kind = Store(tmp_path), "SPB_DET_AGIPD1M-1"
    unit = store.unit_of(kind, "AGIPD07", "2025-01-01T00:00:00+00:00")
    about = {**TASK.about, "unit": unit, "karabo_id": kind, "begin": "2025-01-01T01:00:00+00:00",
             "conditions": conditions, "store": str(tmp_path)}  # fmt: skip
    plan = Plan([Task("AGIPD07", about, constants=[0])], constants=[{"calibration": "Offset"}])
    assert with_previous(plan, FLAT_FIELD) == plan
    for hour, gain in ((0, 7.0), (1, 8.0)):
        begin = {"begin": f"2025-01-01T{hour:02d}:00:00+00:00"}
        task = replace(
            TASK, about={**about, **begin, "valid_for": [conditions]}, outputs=[str(tmp_path / "a.json")]
        )
        put_constants(AGIPD, task, {"SlopesFF": np.full((4, 512, 128), gain, "f4")})
    found = with_previous(plan, FLAT_FIELD)
    assert found.tasks[0].constants == [0, 1] and found.constants[1]["karabo_da"] == "AGIPD07"
    earlier = TaskConstants(found, replace(found.tasks[0], constants=[1]), AGIPD)["SlopesFF"]
    assert earlier.shape == (4, 1, 512, 128) and (earlier == 7).all()


class Truth:
    """One pixel has a defect that has to be found, another one that has not.

    Hooks are of 60 ADU and 30 pulses.
    """

    def hook(self, start):
        return 60 * np.exp((107 - start) / 30), np.full(SHAPE, 30.0)

    def good_pixels(self):
        good = np.ones(SHAPE, bool)
        good[0, :2] = False
        return good


def test_figures_of_truth():
    truly_bad = np.zeros(SHAPE, bool)
    truly_bad[0, 0] = True
    true, bad = np.full((1, *SHAPE), 7.0), np.zeros((1, *SHAPE), "u4")
    bad[0, 0, :3] = 1  # right, another defect, wrong
    found = gain_truth("gain", Truth(), true, true * 1.001, true * 0.01, bad, truly_bad)
    assert found["truth_gain_bias"] == pytest.approx(0.001)
    assert found["truth_gain_failed"] == pytest.approx(1 / 18)
    assert found["truth_bad_pixel_precision"] == pytest.approx(2 / 3)
    assert found["truth_bad_pixel_recall"] == 1
    assert found["truth_gain_pull_width"] == pytest.approx(0, abs=1e-6)


def test_figures_of_hooks():
    shape = (2, *SHAPE)
    of = {name: np.zeros(shape, "f4") for name in SLOPES_PC}
    of["hook start"][:], of["hook decay"][:] = 110, 33
    of["hook amplitude"][:] = 60 * np.exp(-3 / 30) * 1.02
    of["hook decay"][0, 3] = 0  # 5 of 2 x 18 good ones have none

    def found():
        slopes = np.stack(list(of.values()), 1)
        return hook_truth(
            Truth(), ModuleScan(slopes, np.zeros(shape, "u4"), np.ones(shape), np.ones((2, 2, *SHAPE)))
        )

    figures = found()
    assert figures["truth_hook_failed"] == pytest.approx(5 / 36)
    assert figures["truth_hook_amplitude_bias"] == pytest.approx(0.02, abs=1e-4)
    assert figures["truth_hook_decay_bias"] == pytest.approx(0.1, abs=1e-4)
    of["hook decay"][:] = 0
    assert found() == {"truth_hook_failed": 1}


def test_what_flat_fields_and_scans_need():
    adaptive, high, medium = ({"Gain mode": mode} if mode else {} for mode in (0.0, 1.0, 2.0))
    assert FLAT_FIELD.needs(adaptive) == {"Offset": True, "ThresholdsDark": True, "BadPixelsDark": True}
    assert not FLAT_FIELD.needs(high)["ThresholdsDark"]
    assert PULSED_CAPACITOR.needs(adaptive) == {"ThresholdsDark": True}
    for kind, conditions in ((FLAT_FIELD, medium), (PULSED_CAPACITOR, high)):
        with pytest.raises(BadParameter, match="fixed gain mode"):
            kind.needs(conditions)
