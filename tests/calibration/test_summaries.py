"""What summaries are made of: results of files put together, figures, metadata."""

from __future__ import annotations

import numpy as np
import pytest

from calibook.calibration.agipd.compare import CORRECTION_GOALS
from calibook.calibration.metadata import write_correction_metadata
from calibook.calibration.summaries.figures import correction_figures, dark_figures
from calibook.calibration.summaries.overview import bad_pixel_table, by_module, combined, mask_map
from calibook.calibration.summaries.results import load_results, save_results
from calibook.calibration.summaries.truth import truth_figures, truth_rows
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.procedures.tasks import Plan, Task

PIXELS = 512 * 1024


def result(module: int, sequence: int, frames: int, level: float, trains=()) -> dict:
    shape = (512, 1024)
    bits = np.zeros(32, "i8")
    bits[21] = frames  # one sample of each frame has an invalid gain code
    return {
        "module": module,
        "sequence": sequence,
        "frames": frames,
        "mean": np.full(shape, level, "f4"),
        "single": np.full(shape, level, "f4"),
        "gain_mean": np.zeros(shape, "f4"),
        "any_bits": np.full(shape, 1 << sequence, "u4"),
        "bit_counts": bits,
        "stage_counts": np.array([frames * PIXELS, 0, 0]),
        "histogram": np.ones((3, 4), "i8"),
        "edges": np.zeros((3, 3)),
        "signals": np.full(frames, level),
        "bad_fraction": 0.01 * module,
        "train_ids": np.array(trains, "u8"),
    }


@pytest.fixture
def results() -> dict:
    return {
        "B": result(1, 1, 30, 4.0, [3, 4]),
        "A": result(1, 0, 10, 8.0, [1, 2]),
        "C": result(2, 0, 40, 2.0, [1, 2, 3]),
    }


def test_files_of_a_module_are_put_together_in_order(results):
    modules = by_module(results)
    assert [r["sequence"] for r in modules[1]] == [0, 1]
    results["A"]["mean"][0, 0] = np.nan  # bad in one file only
    one = combined(modules[1])
    assert one["frames"] == 40 and one["mean"][5, 5] == 5.0 and one["mean"][0, 0] == 4.0
    assert one["single"][0, 0] == 8.0 and one["any_bits"][0, 0] == 3
    assert list(one["signals"][8:12]) == [8.0, 8.0, 4.0, 4.0]


def test_the_mask_map_tells_bad_from_merely_wide():
    words = np.array([[0, BadPixels.NON_STANDARD_SIZE, BadPixels.NOISE_OUT_OF_THRESHOLD | 1 << 22]], "u4")
    assert mask_map(words).tolist() == [[0.0, 0.5, 1.0]]


def test_the_table_of_bits_has_those_that_occur(results):
    modules = {module: combined(parts) for module, parts in by_module(results).items()}
    (row,) = bad_pixel_table(modules, JUNGFRAU)
    assert row["bit"] == "WRONG_GAIN_VALUE" and row["module 1"] == f"{1 / PIXELS:.4%}"
    good = {**modules[1], "bit_counts": np.zeros(32, int)}
    (row,) = bad_pixel_table({**dict.fromkeys(range(4, 8), good), 1: modules[1]}, JUNGFRAU)
    assert row == {
        "bit": "WRONG_GAIN_VALUE", "all modules": f"{1 / PIXELS / 5:.4%}",
        "worst module": 1, "there": f"{1 / PIXELS:.4%}",
    }  # fmt: skip


def test_the_table_of_truth_has_the_worst_of_many_modules():
    compared = {"all modules": {"truth_photon_bias_high": 2e-4}} | {
        f"AGIPD{n:02d}": {"truth_false_photons_ratio": 1 + n / 100, "truth_wrong_stage": 0.1 - n / 100}
        for n in range(3)
    }  # fmt: skip
    rows = {row.pop("figure"): row for row in truth_rows(compared, CORRECTION_GOALS)}
    assert rows["photon bias high"] == {"all modules": "0.0002", "AGIPD00": "", "AGIPD01": "", "AGIPD02": ""}
    compared |= {f"AGIPD{n:02d}": {"truth_false_photons_ratio": 0.9} for n in range(3, 6)}
    compared["AGIPD05"]["truth_false_photons_ratio"] = 0.8
    rows = {row.pop("figure"): row for row in truth_rows(compared, CORRECTION_GOALS)}
    assert rows["photon bias high"] == {"all modules": "0.0002", "worst module": "", "there": ""}
    assert rows["false photons ratio"] == {"all modules": "", "worst module": "AGIPD05", "there": "0.8"}
    assert rows["wrong stage"]["worst module"] == "AGIPD00"


def plan(tmp_path) -> Plan:
    entry = {
        "id": 7,
        "calibration": "Offset10Hz",
        "pdu": "UNIT",
        "karabo_da": "JNGFR01",
        "begin": "2025-01-01T00:00:00.000+00:00",
        "store": "/store",
        "path": "xfel/cal/x.h5",
        "dataset": "/UNIT/Offset10Hz/0",
    }
    tasks = [Task("A", {"karabo_id": "FXE_XAD_JF1M"}), Task("B", {"karabo_id": "FXE_XAD_JF1M"})]
    return Plan(tasks, constants=[entry], folder=str(tmp_path))


def figures_by_name(figures) -> dict:
    return {figure.name: figure for figure in figures}


def test_figures_of_a_correction(results, tmp_path):
    found = figures_by_name(
        correction_figures(JUNGFRAU, plan(tmp_path), results, "2025-02-20T00:00:00.000+00:00")
    )
    assert found["frames_corrected"].value == 80
    np.testing.assert_allclose(found["bad_pixel_fraction"].value, (0.01 * 40 + 0.02 * 40) / 80)
    np.testing.assert_allclose(found["wrong_gain_fraction"].value, 1 / PIXELS)
    assert found["fraction_g0"].value == 1.0
    age = found["age_offset10hz_days"]
    assert age.value == 50.0 and age.status == "warn"
    # Module 2 lacks train 4.
    assert found["trains_incomplete"].value == 1 and found["trains_incomplete"].status == "warn"


def test_figures_of_darks():
    module = {
        "frames": np.array([200, 200, 40]),
        "good_offset": np.array([[2900.0, 14200, 14190]]),
        "good_noise": np.array([[12.0, 5, 5]]),
        "bad_share": np.array([[0.001, 0.03, 0.3]]),
        "wrong_share": np.array([0.0, 0.02, 0.5]),
        "offset_shift": np.array([[-80.0, 1, 2]]),
    }
    found = figures_by_name(dark_figures(JUNGFRAU, {"JNGFR01": module}))
    assert found["frames_used"].value == 40 and found["frames_used"].status == "warn"
    assert found["noise_g0"].value == 12.0
    assert [found[f"bad_pixels_g{s}"].status for s in range(3)] == ["pass", "warn", "fail"]
    assert [found[f"wrong_gain_g{s}"].status for s in range(3)] == ["pass", "warn", "fail"]
    assert found["offset_shift_g0"].status == "warn" and found["offset_shift_g1"].status == "pass"


def test_the_worst_module_decides_about_the_truth():
    measured = [
        {"truth_photon_bias_G0": 1e-5, "truth_noise_ratio_G0": 1.01, "truth_bad_pixel_recall": 1.0},
        {"truth_photon_bias_G0": -2e-3, "truth_noise_ratio_G0": 0.9, "truth_bad_pixel_recall": 0.98},
    ]
    found = figures_by_name(truth_figures(measured))
    assert found["truth_photon_bias_g0"].value == -2e-3
    assert found["truth_noise_ratio_g0"].value == 0.9
    assert found["truth_bad_pixel_recall"].value == 0.98
    assert {figure.status for figure in found.values()} == {"fail"}
    assert {figure.status for figure in truth_figures(measured[:1])} == {"pass"}
    assert truth_figures([{}]) == []


def test_results_come_back_as_they_were(tmp_path):
    made = plan(tmp_path)
    save_results(made, made.tasks[0], {"frames": 3, "name": "µ", "map": np.arange(6.0).reshape(2, 3)})
    loaded = load_results(made)
    assert list(loaded) == ["A"]  # B left nothing
    assert loaded["A"]["frames"] == 3 and loaded["A"]["name"] == "µ"
    np.testing.assert_array_equal(loaded["A"]["map"], np.arange(6.0).reshape(2, 3))


def test_metadata_is_what_extra_reads(tmp_path):
    from extra.calibration import CalibrationData

    write_correction_metadata(plan(tmp_path), {"run": 4, "in_folder": "raw"}, tmp_path, "title")
    found = CalibrationData.from_correction(tmp_path, use_calcat=False)
    (constant,) = found["Offset10Hz"].constants.values()
    assert str(constant.path) == "/store/xfel/cal/x.h5" and constant.dataset == "/UNIT/Offset10Hz/0"
