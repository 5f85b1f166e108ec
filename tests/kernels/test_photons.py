import numpy as np
import pytest
import twins
from hypothesis import given
from hypothesis import strategies as st

from calibook.errors import BadParameter
from calibook.kernels.photons import round_photons


def rounded(values, threshold=0.5):
    data = np.array(values, "f4")
    round_photons(data, threshold)
    return data


def test_a_half_is_a_photon_and_less_is_none():
    below, above = np.nextafter(np.float32(0.5), np.float32(0)), 0.5
    assert rounded([below, above, 1.49, 1.5, 1000.5]).tolist() == [0, 1, 1, 2, 1001]


def test_negative_is_none_and_nan_stays():
    data = rounded([-1e-9, -0.6, -np.inf, np.nan, np.inf])
    assert data[:3].tolist() == [0, 0, 0] and not np.signbit(data[:3]).any()
    assert np.isnan(data[3]) and data[4] == np.inf


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), max_size=50),
    # Where 1 - threshold is exact the twin's f8 sum decides every case rightly.
    st.sampled_from([0.0, 0.25, 0.5, 0.625, 0.75, 1.0]),
)
def test_twin(values, threshold):
    # Below 1e-9 the twin's sum itself rounds up to a whole number.
    values = [v if abs(v) > 1e-9 else 0.0 for v in values]
    np.testing.assert_array_equal(
        rounded(values, threshold), twins.round_photons(np.array(values, "f4"), threshold)
    )


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan])
def test_impossible_threshold(threshold):
    with pytest.raises(BadParameter, match="0 to 1"):
        rounded([1.0], threshold)
