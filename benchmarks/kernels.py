"""Correction and dark kernels, against the memory, NumPy and PSI's jungfrau_utils."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.roof import in_threads, move_planes
from benchmarks.samples import FAST, SLOW, jungfrau_constants, jungfrau_frames
from benchmarks.timing import Comparison
from calibook.kernels.darks import DarkSums
from calibook.kernels.gain_switching import correct_planes, correct_words
from calibook.kernels.median import StreamingMedian
from calibook.kernels.packing import pack_constants

FRAMES = 64


def comparisons() -> Iterator[Comparison]:
    """All comparisons of kernels."""
    yield from _correction()
    yield from _against_psi()
    yield from _darks()


def _correction() -> Iterator[Comparison]:
    raw, packed = jungfrau_frames(FRAMES), pack_constants(**jungfrau_constants())
    adc, code, cell = raw["adc"], raw["code"], raw["cell"]
    data, gain, mask = _outputs(adc.shape)

    def correct(part: slice) -> None:
        correct_planes(adc[part], code[part], cell[part], packed, data[part], gain[part], mask[part])

    def with_numpy(part: slice) -> tuple[np.ndarray, np.ndarray]:
        stage = np.minimum(code[part], 2)[None]
        offset, scale, word = (
            np.take_along_axis(a[0][:, None], stage, 0)[0] for a in (packed.offset, packed.scale, packed.mask)
        )
        return (adc[part].astype(np.float32) - offset) * scale, word

    def check() -> None:
        correct(slice(0, 4))
        expected, word = with_numpy(slice(0, 4))
        assert np.array_equal(data[:4], expected) and np.array_equal(mask[:4], word)

    for threads in (1, 2):
        yield Comparison(
            f"jungfrau_kernel_vs_roof_{threads}t",
            "a loop that moves the same bytes",
            in_threads(threads, correct, FRAMES),
            in_threads(threads, lambda p: move_planes(adc[p], code[p], data[p], gain[p], mask[p]), FRAMES),
            check,
        )
    few = slice(0, 8)
    yield Comparison(
        "jungfrau_kernel_vs_numpy_1t", "NumPy", lambda: correct(few), lambda: with_numpy(few), check, rounds=3
    )


def _against_psi() -> Iterator[Comparison]:
    """jungfrau_utils is not in the registry: CALIBOOK_PEER_JUNGFRAU_UTILS names its folder."""
    folder = os.environ.get("CALIBOOK_PEER_JUNGFRAU_UTILS")
    if not folder:
        return
    sys.path.insert(0, folder)
    peer = importlib.import_module("jungfrau_utils.corrections") if folder else None
    constants = jungfrau_constants()
    raw = jungfrau_frames(FRAMES)
    words = raw["adc"] | (raw["code"].astype(np.uint16) << np.uint16(14))
    packed = pack_constants(constants["offset"], constants["gain"])
    data, gain, mask = _outputs(words.shape)
    handler = peer.JFDataHandler("JF01T01V01")  # type: ignore[union-attr]
    handler.gain = np.concatenate([constants["gain"][0], constants["gain"][0][2:]]).astype("f4")
    handler.pedestal = np.concatenate([constants["offset"][0], constants["offset"][0][2:]]).astype("f4")
    frames = words.reshape(FRAMES, SLOW, FAST)
    target = np.zeros(frames.shape, np.float32)
    options = {"gap_pixels": False, "double_pixels": "keep", "geometry": False, "mask": False}

    def correct(part: slice) -> None:
        correct_words(words[part], raw["cell"][part], packed, data[part], gain[part], mask[part])

    def psi(threads: int) -> None:
        handler.process(frames, out=target, parallel=threads > 1, **options)

    def check() -> None:
        correct(slice(0, FRAMES))
        psi(1)
        assert np.array_equal(data.view("u4"), target.reshape(data.shape).view("u4"))

    for threads in (1, 2):
        yield Comparison(
            f"jungfrau_kernel_vs_psi_{threads}t",
            "jungfrau_utils, process(out=)",
            in_threads(threads, correct, FRAMES),
            lambda threads=threads: psi(threads),  # type: ignore[misc]
            check,
            rounds=5,
        )


def _darks() -> Iterator[Comparison]:
    # As many trains as a dark run has, of a sixteenth of a module.
    pixels = SLOW * FAST // 16
    adc = np.random.default_rng(3).integers(2800, 3000, (500, pixels), dtype=np.uint16)
    code, cell = np.zeros(adc.shape, np.uint8), np.zeros(len(adc), np.int64)

    def mean_std() -> tuple[np.ndarray, np.ndarray]:
        sums = DarkSums.zeros(1, pixels)
        sums.accumulate(adc, code, cell, 0)
        return sums.mean_and_std()

    def median() -> np.ndarray:
        medians = StreamingMedian(1, pixels)
        medians.count_coarse(adc, code, cell, 0)
        medians.refine()
        medians.count_fine(adc, code, cell, 0)
        return medians.median()

    def check_mean() -> None:
        mean, std = mean_std()
        assert np.allclose(mean[0], adc.mean(0), rtol=1e-13) and np.allclose(std[0], adc.std(0), rtol=1e-9)

    def check_median() -> None:
        assert np.array_equal(median()[0], np.median(adc, 0))

    yield Comparison(
        "dark_mean_std_vs_numpy",
        "numpy mean and std",
        mean_std,
        lambda: (adc.mean(0), adc.std(0)),
        check_mean,
        3,
    )
    yield Comparison(
        "dark_median_vs_numpy", "numpy median", median, lambda: np.median(adc, 0), check_median, 3
    )


def _outputs(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros(shape, "f4"), np.zeros(shape, "u1"), np.zeros(shape, "u4")
