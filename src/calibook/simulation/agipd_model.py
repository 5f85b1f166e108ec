"""An AGIPD module as it truly is: pedestals, gains, noise, gain plane and defects, drawn from a seed.

Numbers are those of published noise, gains and pictures of real data. Good
pixels stay within limits, and bad ones lie far outside of them, so that a
characterisation can be judged by precision and recall:

==========  ======================  ==========================  ===============================
kind        pedestal                noise                       else
==========  ======================  ==========================  ===============================
good        4200..5700 ADU (high),  8 ADU, 5..13, in each cell  3 % gain spread, 1 % by cell
            + 2000, + 3000
noisy       as good                 5 to 8 times
cold        2000..2600 below        as good                     collects no charge
hot         2000..2600 above        as good
stays high  as good                 as good                     never leaves the high stage
one level   as good                 as good                     gain plane alike in all stages
bad cell    as hot, in one cell     as good
no pulser   as good                 as good                     the capacitor injects nothing
low gain    as good                 as good                     half the slope in all stages
dead ASIC   500 in both planes      0                           in modules 1, 9
dead ADC    16383 in both planes    0                           one block in every module
==========  ======================  ==========================  ===============================

Dead ASICs and ADC blocks are denser than in a real detector, so that two
modules show all of them.
"""

from __future__ import annotations

import numpy as np

from calibook.detectors.agipd import ADC_BLOCK_SHAPE, ASIC_SHAPE, HIGH_GAIN_ADU_PER_KEV, MEDIUM_TO_LOW_RATIO
from calibook.simulation.agipd_truth import (
    ASICS,
    MODULE_SHAPE,
    NO_CELL,
    NO_CHARGE,
    AgipdTruth,
    PixelKind,
    asic_maps,
)
from calibook.simulation.streams import Stream, bounded_normal, generator

HIGH_PEDESTAL_ADU = 4950.0
PIXEL_SPREAD_ADU, ASIC_STEP_ADU, CELL_STEP_ADU, CELL_SPREAD_ADU = 150.0, 150.0, 40.0, 3.0
# Medium over high, low over medium: both have to stay well above 1000 ADU, below which a
# pixel in another stage could not be told from a false one.
STAGE_STEPS_ADU, STAGE_SPREAD_ADU = (2000.0, 1000.0), 60.0
# Where gain is fixed, the stages' pedestals are nearly alike.
FIXED_SPREAD_ADU = 60.0
# Later cells hold their charge for longer until they are read.
DROOP_ADU_PER_CELL = 0.02
FORCED_ERROR_ADU, FORCED_ERROR_SPREAD_ADU = 150.0, 20.0
DRIFT_SPREAD = 0.2

NOISE_ADU, NOISE_SPREAD, CELL_NOISE_SPREAD = 8.0, 0.08, 0.06
# From frame to frame: of an ASIC, and of the 32 cells of a row in an ASIC.
ASIC_SHIFT_ADU, ROW_SHIFT_ADU = 8.0, 4.0

HIGH_TO_MEDIUM_RATIO = 32.0
SLOPE_SPREAD, RATIO_SPREAD, LOW_RATIO_SPREAD, CELL_GAIN_SPREAD = 0.03, 0.03, 0.02, 0.01
SWITCH_ADU, SWITCH_SPREAD = (3000.0, 4000.0), 0.03
PULSER_KEV, PULSER_SPREAD = 4.0, 0.05

GAIN_LEVELS_ADU, GAIN_LEVEL_SPREAD_ADU, GAIN_LEVEL_BY_PIXEL = (5750.0, 6900.0, 7900.0), 100.0, 0.5
GAIN_STAGE_SPREAD_ADU, GAIN_NOISE_ADU = 30.0, 40.0

# Snow falls on a few pixels only: in all, 0.36 % of samples look low and 0.05 % medium.
SNOW_SHARE, SNOW_RATES = 0.03, (0.0167, 0.12)

SHARE = {
    PixelKind.NOISY: 1e-3,
    PixelKind.COLD: 1.5e-3,
    PixelKind.HOT: 1.5e-3,
    PixelKind.STAYS_HIGH: 3e-4,
    PixelKind.ONE_LEVEL: 3e-4,
    PixelKind.BAD_CELL: 2e-3,
    PixelKind.NO_PULSER: 5e-4,
    PixelKind.LOW_GAIN: 5e-4,
}
"""Of all pixels; dead blocks come on top and may cover some."""
AWAY_ADU = (2000.0, 2600.0)
NOISY_FACTOR = (5.0, 8.0)
MODULES_PER_DEAD_ASIC = 8

# Steps, powers of two, of the largest maps: then a truth file is half as large.
_RIPPLE_STEP, _CELL_NOISE_STEP = 2**-4, 2**-9


def draw_truth(
    seed: int, module: int, cells: int, *, fixed_gain: bool = False, common_mode: bool = True
) -> AgipdTruth:
    """A module. It depends on the arguments alone, so all runs see the same detector.

    fixed_gain: pedestals of the fixed gain modes
    common_mode: whether frames will be shifted; then darks see it as noise
    """
    rng = generator(seed, Stream.DETECTOR, module)
    high, pedestal = _draw_pedestal(rng, fixed_gain)
    slope, noise, level = _draw_slope(rng), _draw_noise(rng), _draw_level(rng, high)
    maps = _draw_rest(rng, slope)
    defects = generator(seed, Stream.DEFECTS, module)
    kinds = _draw_kinds(defects, module)
    if fixed_gain:
        # Nothing is switched then, and nobody looks at the gain plane.
        kinds[np.isin(kinds, (PixelKind.STAYS_HIGH, PixelKind.ONE_LEVEL))] = PixelKind.GOOD
    ripple, cell_noise, cell_gain = _draw_cells(generator(seed, Stream.CELLS, module, cells), cells)
    bad_cell = np.full(MODULE_SHAPE, NO_CELL, "u2")
    _plant_offsets(defects, kinds, pedestal, ripple, bad_cell)
    noise[:, kinds == PixelKind.NOISY] *= defects.uniform(*NOISY_FACTOR, (kinds == PixelKind.NOISY).sum())
    _plant_gains(kinds, slope, level, maps)
    return AgipdTruth(
        pedestal=pedestal,
        ripple=ripple,
        noise=noise,
        cell_noise=cell_noise,
        common_noise=np.array(np.hypot(ASIC_SHIFT_ADU, ROW_SHIFT_ADU) if common_mode else 0, "f4"),
        slope=slope,
        cell_gain=cell_gain,
        level=level,
        kinds=kinds,
        bad_cell=bad_cell,
        **maps,
    )


def _draw_pedestal(rng: np.random.Generator, fixed_gain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pedestal of the high stage, and of all: the other stages' follow it, pixel by pixel."""
    steps = rng.uniform(-ASIC_STEP_ADU, ASIC_STEP_ADU, ASICS).astype("f4")
    high = HIGH_PEDESTAL_ADU + asic_maps(steps) + bounded_normal(rng, MODULE_SHAPE, PIXEL_SPREAD_ADU)
    spread = bounded_normal(rng, (2, *MODULE_SHAPE), 1)
    if fixed_gain:
        return high, np.stack([high, *(high + FIXED_SPREAD_ADU * spread)])
    steps = np.array(STAGE_STEPS_ADU, "f4")[:, None, None] + STAGE_SPREAD_ADU * spread
    return high, np.concatenate([high[None], high + np.cumsum(steps, axis=0)])


def _draw_slope(rng: np.random.Generator) -> np.ndarray:
    spread = bounded_normal(rng, (3, *MODULE_SHAPE), 1)
    high = HIGH_GAIN_ADU_PER_KEV * (1 + SLOPE_SPREAD * spread[0])
    medium = high / (HIGH_TO_MEDIUM_RATIO * (1 + RATIO_SPREAD * spread[1]))
    low = medium / (MEDIUM_TO_LOW_RATIO * (1 + LOW_RATIO_SPREAD * spread[2]))
    return np.stack([high, medium, low]).astype("f4")


def _draw_noise(rng: np.random.Generator) -> np.ndarray:
    return np.float32(NOISE_ADU) * np.exp(bounded_normal(rng, (3, *MODULE_SHAPE), NOISE_SPREAD))


def _draw_level(rng: np.random.Generator, high: np.ndarray) -> np.ndarray:
    """Gain plane: a term that all stages share, which follows the pedestal, and a small one of each."""
    pixel = GAIN_LEVEL_BY_PIXEL * (high - HIGH_PEDESTAL_ADU)
    pixel += bounded_normal(rng, MODULE_SHAPE, GAIN_LEVEL_SPREAD_ADU)
    base = np.array(GAIN_LEVELS_ADU, "f4")[:, None, None]
    return base + pixel + bounded_normal(rng, (3, *MODULE_SHAPE), GAIN_STAGE_SPREAD_ADU)


def _draw_rest(rng: np.random.Generator, slope: np.ndarray) -> dict[str, np.ndarray]:
    base = np.array(SWITCH_ADU, "f4")[:, None, None]
    snowy = rng.random(MODULE_SHAPE) < SNOW_SHARE
    return {
        "switch": base * (1 + bounded_normal(rng, (2, *MODULE_SHAPE), SWITCH_SPREAD)) / slope[:2],
        "forced_error": FORCED_ERROR_ADU + bounded_normal(rng, MODULE_SHAPE, FORCED_ERROR_SPREAD_ADU),
        "drift": 1 + bounded_normal(rng, MODULE_SHAPE, DRIFT_SPREAD),
        "pulser": np.float32(PULSER_KEV) * (1 + bounded_normal(rng, MODULE_SHAPE, PULSER_SPREAD)),
        "snow": (np.array(SNOW_RATES)[:, None, None] * snowy).astype("f4"),
    }


def _draw_cells(rng: np.random.Generator, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What differs by cell: offset and noise factor (cell, slow_scan, fast_scan), gain (cell, asic)."""
    ripple, noise = np.empty((2, cells, *MODULE_SHAPE), "f4")
    gain = (1 + bounded_normal(rng, (cells, ASICS), CELL_GAIN_SPREAD)).astype("f4")
    steps = rng.uniform(-CELL_STEP_ADU, CELL_STEP_ADU, (cells, ASICS)).astype("f4")
    for cell in range(cells):
        offset = asic_maps(steps[cell]) + bounded_normal(rng, MODULE_SHAPE, CELL_SPREAD_ADU)
        offset += np.float32(DROOP_ADU_PER_CELL * cell)
        ripple[cell] = _on_grid(offset, _RIPPLE_STEP)
        factor = np.exp(bounded_normal(rng, MODULE_SHAPE, CELL_NOISE_SPREAD))
        noise[cell] = _on_grid(factor, _CELL_NOISE_STEP)
    return ripple, noise, gain


def _on_grid(values: np.ndarray, step: float) -> np.ndarray:
    return np.rint(values / np.float32(step)) * np.float32(step)


def _draw_kinds(rng: np.random.Generator, module: int) -> np.ndarray:
    """Where the bad pixels are: no pixel has two defects."""
    pixels = MODULE_SHAPE[0] * MODULE_SHAPE[1]
    counts = [round(share * pixels) for share in SHARE.values()]
    kinds = np.zeros(pixels, "u1")
    kinds[rng.choice(pixels, sum(counts), replace=False)] = np.repeat(np.array(list(SHARE), "u1"), counts)
    kinds = kinds.reshape(MODULE_SHAPE)
    dead_asic = int(rng.integers(ASICS))
    if module % MODULES_PER_DEAD_ASIC == 1:
        kinds[_block(dead_asic, ASIC_SHAPE)] = PixelKind.DEAD_ASIC
    # In one of the other ASICs.
    asic = (dead_asic + 1 + int(rng.integers(ASICS - 1))) % ASICS
    per_asic = ASIC_SHAPE[1] // ADC_BLOCK_SHAPE[1]
    kinds[_block(asic * per_asic + int(rng.integers(per_asic)), ADC_BLOCK_SHAPE)] = PixelKind.DEAD_ADC
    return kinds


def _block(number: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a block of pixels, counted along fast_scan first."""
    row, column = divmod(number, MODULE_SHAPE[1] // shape[1])
    return (
        slice(row * shape[0], (row + 1) * shape[0]),
        slice(column * shape[1], (column + 1) * shape[1]),
    )


def _plant_offsets(
    rng: np.random.Generator,
    kinds: np.ndarray,
    pedestal: np.ndarray,
    ripple: np.ndarray,
    bad_cell: np.ndarray,
) -> None:
    """Move pedestals of bad pixels and cells away, in place."""
    for kind, sign in ((PixelKind.COLD, -1), (PixelKind.HOT, 1)):
        here = kinds == kind
        pedestal[:, here] += sign * rng.uniform(*AWAY_ADU, here.sum()).astype("f4")
    for kind, value in {PixelKind.DEAD_ASIC: 500, PixelKind.DEAD_ADC: 16383}.items():
        pedestal[:, kinds == kind] = value
    stays = kinds == PixelKind.STAYS_HIGH
    pedestal[1:, stays] = pedestal[0, stays]
    slow, fast = np.nonzero(kinds == PixelKind.BAD_CELL)
    cell = rng.integers(0, len(ripple), len(slow))
    ripple[cell, slow, fast] += np.float32(AWAY_ADU[0])
    bad_cell[slow, fast] = cell


def _plant_gains(
    kinds: np.ndarray, slope: np.ndarray, level: np.ndarray, maps: dict[str, np.ndarray]
) -> None:
    """Defects of slopes, switching, the gain plane and the pulser, in place."""
    for kind in (PixelKind.ONE_LEVEL, PixelKind.STAYS_HIGH):
        level[1:, kinds == kind] = level[0, kinds == kind]
    slope[:, kinds == PixelKind.LOW_GAIN] /= 2
    maps["switch"][:, kinds == PixelKind.LOW_GAIN] *= 2
    no_charge = np.isin(kinds, NO_CHARGE)
    slope[:, no_charge] = 0
    maps["switch"][:, no_charge | (kinds == PixelKind.STAYS_HIGH)] = np.inf
    maps["pulser"][no_charge | (kinds == PixelKind.NO_PULSER)] = 0
    maps["snow"][:, kinds != PixelKind.GOOD] = 0
