import numpy as np
import pytest
import twins

from calibook.errors import BadParameter
from calibook.kernels.packing import pack_constants

R = np.random.default_rng(3)
SLOW, FAST = 3, 5


def offset(cells=1, stages=3):
    return R.normal(3000, 100, (cells, stages, SLOW, FAST))


@pytest.mark.parametrize("cells", [(1, 1, 1), (4, 1, 4), (1, 4, 1), (4, 4, 1)])
@pytest.mark.parametrize("stages", [1, 3])
def test_packed_constants_are_the_twin(cells, stages):
    gain = R.normal(0, 30, (cells[1], stages, SLOW, FAST))
    gain.flat[:4] = 0, np.nan, np.inf, 1e-45
    words = R.integers(0, 2**32, (cells[2], 3, SLOW, FAST)).astype("u4")
    dark = offset(cells[0])
    packed = pack_constants(dark, gain, words, 9.3)
    assert packed.cells == max(cells) and packed.pixels == SLOW * FAST
    arrays = (packed.offset, packed.scale, packed.mask)
    for array, expected in zip(arrays, twins.pack(dark, gain, words, 9.3), strict=True):
        assert array.flags.c_contiguous and array.dtype == expected.dtype
        np.testing.assert_array_equal(np.broadcast_to(array, expected.shape), expected)


def test_without_gain_and_mask_the_signal_stays_in_adu():
    packed = pack_constants(offset(16).astype("f4"))
    assert (packed.scale == 1).all() and (packed.mask == 0).all() and packed.cells == 16


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((np.zeros((3, 4, 5)),), r"offset has shape \(3, 4, 5\)"),
        ((offset(stages=2),), r"offset has shape \(1, 2, 3, 5\)"),
        ((offset(), np.ones((1, 3, 5, 3))), "gain is for"),
        ((offset(2), np.ones((3, 3, SLOW, FAST))), "different numbers of memory cells"),
        ((offset(0),), "different numbers of memory cells"),
    ],
)
def test_shapes_that_do_not_fit(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        pack_constants(*arguments)


@pytest.mark.parametrize("energy", [0, -1, np.nan, np.inf])
def test_impossible_photon_energy(energy):
    with pytest.raises(BadParameter, match="photon_energy"):
        pack_constants(offset(), np.ones((1, 3, SLOW, FAST)), photon_energy=energy)


def test_photons_need_a_gain():
    with pytest.raises(BadParameter, match="without a gain"):
        pack_constants(offset(), photon_energy=9.3)
