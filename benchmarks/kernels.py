"""JUNGFRAU's kernels, against the memory, NumPy and PSI's jungfrau_utils."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from benchmarks.roof import Roof, in_threads
from benchmarks.samples import FAST, SLOW, jungfrau_constants, jungfrau_frames
from benchmarks.timing import Comparison
from calibook.kernels.gain_switching import correct_planes
from calibook.kernels.packing import pack_constants
from calibook.kernels.signals import correct_signals, without_bad_pixels
from calibook.runs.direct import aligned_empty

FRAMES = 64
PEER_FRAMES = 200
"""As many as a block of the reference measurement. Their results, 419 MB, are larger than the last cache of
any processor we measure on: what streams past the caches must not gain or lose by what they still hold."""
PEER = "CALIBOOK_PEER_JUNGFRAU_UTILS"
"""Environment variable with the folder of jungfrau_utils, which is in no registry."""


def comparisons() -> Iterator[Comparison]:
    """All comparisons of JUNGFRAU's kernels."""
    yield from _correction()
    if os.environ.get(PEER):
        yield from _against_psi(Path(os.environ[PEER]))


def _correction() -> Iterator[Comparison]:
    raw, packed = jungfrau_frames(FRAMES), pack_constants(**jungfrau_constants())
    adc, code, cell = raw["adc"], raw["code"], raw["cell"]
    # As tasks allocate them.
    data, gain, mask = (aligned_empty(adc.shape, dtype) for dtype in ("f4", "u1", "u4"))

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
        roof = Roof(FRAMES, adc.shape[1], 3, 9, non_temporal=True)
        yield Comparison(
            f"jungfrau_kernel_vs_roof_{threads}t",
            "moving the same bytes, non-temporal",
            in_threads(threads, correct, FRAMES),
            in_threads(threads, roof, FRAMES),
            check,
        )
    few = slice(0, 8)
    yield Comparison(
        "jungfrau_kernel_vs_numpy_1t", "NumPy", lambda: correct(few), lambda: with_numpy(few), check, rounds=3
    )


def _against_psi(folder: Path) -> Iterator[Comparison]:
    """What process(out=) makes: signals, 0 in masked pixels, neither gain stages nor masks."""
    handler, (offset, gain, bad) = _psi_handler(folder)
    raw = jungfrau_frames(PEER_FRAMES)
    words = raw["adc"] | (raw["code"].astype(np.uint16) << np.uint16(14))
    packed = without_bad_pixels(pack_constants(offset[None], gain[None], bad[None]), value=0)
    images = words.reshape(PEER_FRAMES, SLOW, FAST)
    data, target = aligned_empty(words.shape, "f4"), aligned_empty(images.shape, "f4")
    # The peer leaves masked pixels as they are.
    target[:] = 0

    def correct(part: slice) -> None:
        correct_signals(words[part], raw["cell"][part], packed, data[part])

    def psi(threads: int) -> None:
        handler.process(images, out=target, gap_pixels=False, geometry=False, parallel=threads > 1)

    def check() -> None:
        correct(slice(0, PEER_FRAMES))
        psi(1)
        assert np.array_equal(data.view("u4"), target.reshape(data.shape).view("u4"))

    for threads in (1, 2):
        yield Comparison(
            f"jungfrau_kernel_vs_psi_{threads}t",
            "jungfrau_utils, process(out=)",
            in_threads(threads, correct, PEER_FRAMES),
            lambda threads=threads: psi(threads),  # type: ignore[misc]
            check,
        )


def _psi_handler(folder: Path):
    """A handler of a detector with one module, and its constants: (gain 3, slow_scan, fast_scan)."""
    # Without the package's own __init__, which needs the readers of its facility.
    package = ModuleType("jungfrau_utils")
    package.__path__ = [str(folder / "jungfrau_utils" if (folder / "jungfrau_utils").is_dir() else folder)]
    sys.modules["jungfrau_utils"] = package
    handler = import_module("jungfrau_utils.data_handler").JFDataHandler("JF03T01V01")
    constants = jungfrau_constants()
    offset, gain = (constants[name][0].astype(np.float32) for name in ("offset", "gain"))
    bad = constants["bad_pixels"][0].any(axis=0)
    handler.gain, handler.pedestal = (np.concatenate([maps, maps[2:]]) for maps in (gain, offset))
    handler.pixel_mask = bad.copy()
    return handler, (offset, gain, np.broadcast_to(bad, offset.shape).astype(np.uint32))
