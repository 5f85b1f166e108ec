import numpy as np
import pytest

from calibook.constants.axes import as_stored, as_used
from calibook.detectors.agipd import (
    AGIPD,
    AGIPD_500K,
    ASIC_SHAPE,
    SLOPES_PC,
    THRESHOLDS_DARK,
    double_size_pixels,
    signal_ranges,
)
from calibook.runs.discover import module_of


def test_double_size_pixels_are_extra_geom_s_wide_rows():
    """EXtra-geom's tiles end where chips do: two wide rows at each of the 7 inner borders."""
    wide = double_size_pixels()
    assert np.flatnonzero(wide.all(axis=1)).tolist() == [63, 64, 127, 128, 191, 192, 255, 256, 319, 320,
                                                         383, 384, 447, 448]  # fmt: skip
    assert wide.sum() == 14 * 128


def test_chips_tile_the_module():
    assert all(n % m == 0 for n, m in zip(AGIPD.module_shape, ASIC_SHAPE, strict=True))


def test_the_control_aggregator_is_no_module():
    assert module_of("AGIPD07", AGIPD) == 7
    assert module_of(AGIPD.control_aggregator, AGIPD) is None
    assert module_of(AGIPD_500K.control_aggregator, AGIPD_500K) is None


@pytest.mark.parametrize(
    ("calibration", "quantities"), [("SlopesPC", SLOPES_PC), ("ThresholdsDark", THRESHOLDS_DARK)]
)
def test_several_quantities_take_the_place_of_the_gain_axis(calibration, quantities):
    used = np.arange(2 * len(quantities) * 3 * 4.0).reshape(2, len(quantities), 3, 4)
    dims = AGIPD.constants[calibration].dims
    stored = as_stored(used, ("cell", "quantity", "slow_scan", "fast_scan"), dims)
    assert stored.shape[dims.index("quantity")] == len(quantities)
    np.testing.assert_array_equal(as_used(stored, dims), used)


def test_ranges_of_stages_join():
    """One stage reaches at least to where the next begins to be used: 3000 and 4000 ADU over the dark."""
    kev = signal_ranges("keV", 9.3)
    assert kev[0][1] > 3000 / 7 and kev[1][1] > 4000 * 32 / 7
    assert signal_ranges("photons", 10.0)[0][1] == pytest.approx(kev[0][1] / 10)
    assert signal_ranges("ADU", 9.3)[2][1] == pytest.approx(kev[2][1] * 7)
