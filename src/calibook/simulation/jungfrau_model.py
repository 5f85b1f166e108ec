"""A JUNGFRAU module as it truly is: offset, gain, noise and defects, drawn from a seed.

Numbers are those of published pedestals, gain maps and noise. Good pixels stay
within limits, and bad ones lie far outside of them, so that a characterisation
can be judged by precision and recall:

=============  =====================  =============  ==================================
kind           offset G0 / G1, G2     noise          else
=============  =====================  =============  ==================================
good           2590..3210 /           12, 5, 5 ADU,  3 % gain spread
               13700..14700 ADU       +-21 %
noisy          as good                5 to 8 times
cold           500 / 8000             as good        collects no charge
hot            8590 up / 8690 down    as good
stuck          0 or 16383             0              collects no charge
stays in G0    as good                as good        never switches, forced or not
stays in G1    as good                as good        never reaches G2, forced or not
wrong code     as good                as good        gain code 2 in G1 and G2
bad cell       as hot, in one cell    as good        only with several cells
=============  =====================  =============  ==================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.jungfrau import ADC_MAX, FAST_SCAN, SLOW_SCAN
from calibook.simulation.jungfrau_truth import MODULE_SHAPE, JungfrauTruth, PixelKind
from calibook.simulation.streams import Stream, bounded_normal, generator

OFFSET_ADU = (2900.0, 14200.0, 14200.0)
GAIN_ADU_PER_KEV = (41.5, -1.39, -0.11)
NOISE_ADU = (12.0, 5.0, 5.0)
GAIN_SPREAD, NOISE_SPREAD = 0.03, 0.06
# A pixel leaves G0 above, and G1 below, this output.
SWITCH_ADU = (15000.0, 2500.0)
# Frame to frame shifts of an ADC's 64 columns and of an ASIC. They arise before
# the gain, so that they are negligible in G1 and G2. Small enough that their
# mean over a module and 200 frames, 0.026 ADU, is no bias of a dark to speak of.
SUPERCOLUMN_SHIFT_ADU, ASIC_SHIFT_ADU = 1.5, 0.7
QUANTISATION_VARIANCE = 1 / 12

HOT_SHIFT_ADU = (6000.0, 8000.0)
COLD_OFFSET_ADU = (500.0, 8000.0, 8000.0)
NOISY_FACTOR = (5.0, 8.0)

SHARE = {
    PixelKind.NOISY: 1e-3,
    PixelKind.COLD: 8e-4,
    PixelKind.HOT: 5e-4,
    PixelKind.STUCK_LOW: 1e-4,
    PixelKind.STUCK_HIGH: 1e-4,
    PixelKind.STAYS_IN_G0: 2e-4,
    PixelKind.STAYS_IN_G1: 2e-4,
    PixelKind.WRONG_CODE: 1e-4,
    PixelKind.BAD_CELL: 2e-4,
}
NO_CHARGE = (PixelKind.COLD, PixelKind.STUCK_LOW, PixelKind.STUCK_HIGH)

_OFFSET = BadPixels.OFFSET_OUT_OF_THRESHOLD
_NOISE = BadPixels.NOISE_OUT_OF_THRESHOLD
_WRONG = BadPixels.WRONG_GAIN_VALUE
_BITS = {
    PixelKind.NOISY: (_NOISE, _NOISE, _NOISE),
    PixelKind.COLD: (_OFFSET, _OFFSET, _OFFSET),
    PixelKind.HOT: (_OFFSET, _OFFSET, _OFFSET),
    PixelKind.STUCK_LOW: (_OFFSET | _NOISE,) * 3,
    PixelKind.STUCK_HIGH: (_OFFSET | _NOISE,) * 3,
    PixelKind.STAYS_IN_G0: (0, _WRONG, _WRONG),
    PixelKind.STAYS_IN_G1: (0, 0, _WRONG),
    PixelKind.WRONG_CODE: (0, _WRONG, _WRONG),
}


@dataclass(frozen=True)
class DetectorModel:
    """The truth, and what the forward model needs besides.

    electronic_noise: f4 (gain, slow_scan, fast_scan), ADU
    switch: f4 (2, slow_scan, fast_scan), keV above which a pixel leaves G0, G1.
        The comparator sits before the memory cells: it does not know them.
    """

    truth: JungfrauTruth
    electronic_noise: np.ndarray
    switch: np.ndarray


def draw_detector(seed: int, module: int, cells: int, common_mode: bool = True) -> JungfrauTruth:
    """The truth of a module. It depends on the arguments alone, so all runs see the same detector."""
    return draw_model(seed, module, cells, common_mode).truth


def draw_model(seed: int, module: int, cells: int, common_mode: bool = True) -> DetectorModel:
    """A module with `cells` memory cells; with one cell there is no ripple between cells."""
    rng = generator(seed, Stream.DETECTOR, module)
    offset, gain, electronic_noise = _draw_offset(rng), _draw_gain(rng), _draw_noise(rng)
    switch = (np.array(SWITCH_ADU, "f4")[:, None, None] - offset[:2]) / gain[:2]
    defects = generator(seed, Stream.DEFECTS, module)
    kinds = _draw_kinds(defects)
    ripple, factor = _draw_cells(generator(seed, Stream.CELLS, module, cells), cells)
    cell_offset = offset + ripple[:, None]
    bad = _plant(defects, kinds, cell_offset, electronic_noise)
    noise = _total_noise(electronic_noise, common_mode)
    noise[:, (kinds == PixelKind.STUCK_LOW) | (kinds == PixelKind.STUCK_HIGH)] = 0
    truth = JungfrauTruth(
        offset=_on_grid(cell_offset, (2**-3,) * 3),
        gain=_on_grid(gain * factor[:, None, None, None], (2**-6, 2**-11, 2**-15)),
        noise=_on_grid(noise, (2**-6,) * 3),
        bad=bad,
        kinds=kinds,
    )
    return DetectorModel(truth, electronic_noise, switch)


def _draw_offset(rng: np.random.Generator) -> np.ndarray:
    """Base, a step per ASIC, and a term per pixel that G1 and G2 have in common."""
    steps = rng.uniform(-60, 60, (3, 2, 4)).astype("f4")
    offset = np.repeat(np.repeat(steps, 256, axis=1), 256, axis=2)
    offset += np.array(OFFSET_ADU, "f4")[:, None, None]
    offset[0] += bounded_normal(rng, MODULE_SHAPE, 60)
    offset[1:] += bounded_normal(rng, MODULE_SHAPE, 80)
    offset[1:] += bounded_normal(rng, (2, *MODULE_SHAPE), 30)
    return offset


def _draw_gain(rng: np.random.Generator) -> np.ndarray:
    base = np.array(GAIN_ADU_PER_KEV, "f4")[:, None, None]
    return base * (1 + bounded_normal(rng, (3, *MODULE_SHAPE), GAIN_SPREAD))


def _draw_noise(rng: np.random.Generator) -> np.ndarray:
    base = np.array(NOISE_ADU, "f4")[:, None, None]
    return base * (1 + bounded_normal(rng, (3, *MODULE_SHAPE), NOISE_SPREAD))


def _draw_cells(rng: np.random.Generator, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Offset of each cell (cell, slow_scan, fast_scan), within 40 ADU, and gain factor (cell,)."""
    if cells == 1:
        return np.zeros((1, *MODULE_SHAPE), "f4"), np.ones(1, "f4")
    ripple = rng.uniform(-29, 29, (cells, 1, 1)).astype("f4") + bounded_normal(rng, (cells, *MODULE_SHAPE), 3)
    return ripple, rng.uniform(0.997, 1.003, cells).astype("f4")


def _draw_kinds(rng: np.random.Generator) -> np.ndarray:
    """Where the bad pixels are: no pixel has two defects."""
    counts = [round(share * SLOW_SCAN * FAST_SCAN) for share in SHARE.values()]
    pixels = rng.choice(SLOW_SCAN * FAST_SCAN, sum(counts), replace=False)
    kinds = np.zeros(SLOW_SCAN * FAST_SCAN, "u1")
    kinds[pixels] = np.repeat(np.array(list(SHARE), "u1"), counts)
    return kinds.reshape(MODULE_SHAPE)


def _plant(
    rng: np.random.Generator, kinds: np.ndarray, offset: np.ndarray, electronic_noise: np.ndarray
) -> np.ndarray:
    """Make pixels bad: change `offset` and `electronic_noise` in place, return the expected bits."""
    bad = np.zeros(offset.shape, "u4")
    for kind, words in _BITS.items():
        for stage, word in enumerate(words):
            bad[:, stage, kinds == kind] = int(word)
    noisy, cold, hot, one_cell = (
        kinds == kind for kind in (PixelKind.NOISY, PixelKind.COLD, PixelKind.HOT, PixelKind.BAD_CELL)
    )
    electronic_noise[:, noisy] *= rng.uniform(*NOISY_FACTOR, noisy.sum()).astype("f4")
    offset[:, :, cold] = np.array(COLD_OFFSET_ADU, "f4")[:, None]
    offset[:, :, kinds == PixelKind.STUCK_LOW] = 0
    offset[:, :, kinds == PixelKind.STUCK_HIGH] = ADC_MAX
    away = np.array([1, -1, -1], "f4")[:, None]
    offset[:, :, hot] += away * rng.uniform(*HOT_SHIFT_ADU, hot.sum()).astype("f4")
    if len(offset) > 1:
        slow, fast = np.nonzero(one_cell)
        cell = rng.integers(0, len(offset), len(slow))
        offset[cell, :, slow, fast] += away[:, 0] * HOT_SHIFT_ADU[0]
        bad[cell, :, slow, fast] = int(_OFFSET)
    return bad


def _total_noise(electronic_noise: np.ndarray, common_mode: bool) -> np.ndarray:
    """Standard deviation of dark samples: independent variances add."""
    variance = electronic_noise**2 + np.float32(QUANTISATION_VARIANCE)
    if common_mode:
        variance[0] += SUPERCOLUMN_SHIFT_ADU**2 + ASIC_SHIFT_ADU**2
    return np.sqrt(variance)


def _on_grid(values: np.ndarray, steps: tuple[float, float, float]) -> np.ndarray:
    """Round to multiples of a step per stage; then a truth file is half as large.

    values: f4 (..., gain, slow_scan, fast_scan); steps are powers of two, so that
        multiples are exact
    """
    step = np.array(steps, "f4")[:, None, None]
    return np.rint(values / step) * step
