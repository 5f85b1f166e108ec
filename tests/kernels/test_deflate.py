import re
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibook.kernels import deflate
from calibook.kernels.deflate import MOST_CHANGES, deflate_images
from calibook.kernels.deflate_codes import LONGEST
from calibook.runs.datasets import deflated

# Lengths around what one repetition tells, for items of one byte and of four.
LENGTHS = st.one_of(
    st.integers(1, 40), st.integers(LONGEST - 3, 2 * LONGEST + 6), st.integers(63, 66), st.just(20_000)
)
VALUES = st.one_of(
    st.just(0), st.sampled_from([1, 2, 0x400000, 0x90000090, 0xFFFFFFFF]), st.integers(0, 2**32 - 1)
)


def image(runs, dtype):
    values = np.array([value for value, _ in runs], "u4").astype(dtype)
    return np.repeat(values, [length for _, length in runs])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(VALUES, LENGTHS), min_size=1, max_size=30), st.sampled_from(["u1", "u4"]))
def test_streams_are_read_by_zlib(runs, dtype):
    # As many pixels alike as are needed for this to be an image with few changes.
    one = image([*runs, (7, MOST_CHANGES * (len(runs) + 3))], dtype)
    images = np.stack([one, np.roll(one, 3), one[::-1]])
    for stream, wanted in zip(deflate_images(images), images, strict=True):
        assert stream is not None and zlib.decompress(stream) == wanted.tobytes()


@pytest.mark.parametrize("dtype", ["u1", "u4"])
@pytest.mark.parametrize("pixels", [1, 2, 15, 16, 17, 64, 65, 4096, 65536])
def test_images_with_too_many_changes_are_left_to_a_compressor(dtype, pixels):
    most = pixels // MOST_CHANGES
    images = np.zeros((3, pixels), dtype)
    changed = np.arange(1, most + 1) * (pixels // (most + 1))
    for n, places in enumerate((changed, changed[:-1], np.append(changed, pixels - 1))):
        for place in places:
            images[n, place:] += 1
    streams = deflate_images(images)
    # Where the last pixel is the only other one, there is nothing that one more could add to.
    too_many = len(np.flatnonzero(np.diff(images[2]))) > most
    assert [stream is None for stream in streams] == [False, False, too_many]
    for stream, wanted in zip(deflated(images), images, strict=True):
        assert zlib.decompress(stream) == wanted.tobytes()


@pytest.mark.parametrize("dtype", ["u1", "u4"])
def test_the_worst_images_stay_inside_the_memory_for_their_streams(dtype):
    # Literals of nine bits, and repetitions that need two codes, as often as there may be changes.
    most = deflate.MOST_CHANGES
    pixels = 300 * most
    words = np.array([0xFFFEFDFC, 0x00FF00FF, 0xFF00FF00, 0], "u4").astype(dtype)
    images = np.stack([np.resize(np.repeat(words, length), pixels) for length in (most, 2 * most, 70, 270)])
    longest = pixels // most * deflate._PER_CHANGE
    for stream, wanted in zip(deflate_images(images), images, strict=True):
        assert stream is not None and zlib.decompress(stream) == wanted.tobytes()
        assert len(stream) < longest


def test_no_images_and_wrong_ones():
    assert deflate_images(np.zeros((0, 100), "u4")) == []
    wrong = {
        "dtype": np.zeros((2, 9), "u2"),
        "C-contiguous": np.zeros((9, 2), "u1").T,
        "without": np.zeros((1, 0), "u1"),
    }
    for why, images in wrong.items():
        with pytest.raises(ValueError, match=re.escape(why)):
            deflate_images(images)
