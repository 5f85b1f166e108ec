"""Photon peaks of an AGIPD module's pixels, from raw runs of a fluorescence flat field.

Every frame is read once: a thread takes the frames of one memory cell after the
other, subtracts offset and shift of the chips, counts the pixels' spectra, fits
them, and keeps but the gains. Memory in use does not depend on the number of
trains, and on that of memory cells for constants and gains alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from math import ceil, prod

import numpy as np

from calibook.calibration.agipd.constants import GainOptions, pack_agipd
from calibook.calibration.agipd.correct import AgipdCorrection, ChipMode, correct_agipd_frames
from calibook.calibration.agipd.flatfield import FlatField, FlatFieldLimits, flat_field_gains, joined
from calibook.calibration.planning.resources import threads_within
from calibook.calibration.workers import worker_threads
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.base import Detector
from calibook.errors import BadParameter
from calibook.kernels.peak_model import PeakModel
from calibook.kernels.peaks import PeakFits, fit_peaks
from calibook.kernels.spectra import Spectra
from calibook.procedures.tasks import Task
from calibook.runs.raw_file import RawModuleFile, open_raw

# From a photon below zero to half a photon above the last peak.
_FROM_PHOTONS, _TO_PHOTONS = -1.0, 3.25
_BLOCK_FRAMES = 16
# Of a pixel, besides its spectrum: its fit, and frames raw and corrected.
_FIT_AND_FRAMES_BYTES = 17 * 8 + _BLOCK_FRAMES * (2 * 2 + 4 + 1 + 4)
# A pixel that is bad in darks may have good peaks: only samples that tell nothing are left out.
_USELESS = int(BadPixels.VALUE_OUT_OF_RANGE | BadPixels.VALUE_IS_NAN | BadPixels.NO_DARK_DATA)


@dataclass(frozen=True)
class PeakOptions:
    """What spectra are expected to be like, and how they are counted.

    photon_energy: of the fluorescence line, keV
    expected_gain: ADU/keV; the fit looks for the photon peak within 40 % of it
    noise: expected width of the noise peak, ADU
    model: charge sharing and lines
    min_photons: fewest samples of more than half a photon that a fit needs
    bin_width: ADU, a whole number: else bins would hold more and fewer of the ADC's codes
    per_cell: a spectrum for each memory cell; False for one over all of them
    """

    photon_energy: float
    expected_gain: float = 7.0
    noise: float = 10.0
    model: PeakModel = field(default_factory=PeakModel)
    min_photons: int = 100
    bin_width: int = 2
    per_cell: bool = True

    def __post_init__(self) -> None:
        for name in ("photon_energy", "expected_gain", "noise", "bin_width"):
            if not getattr(self, name) > 0:
                raise BadParameter(f"{name} is {getattr(self, name)}, needs a number above 0")

    @property
    def spacing(self) -> float:
        """Expected distance of two peaks, ADU."""
        return self.photon_energy * self.expected_gain

    def new_spectra(self, pixels: int) -> Spectra:
        """Empty spectra of one memory cell, or of all together."""
        low, high = (ceil(self.spacing * n / self.bin_width) for n in (_FROM_PHOTONS, _TO_PHOTONS))
        return Spectra.zeros(1, pixels, low * self.bin_width, high * self.bin_width, high - low)

    def fit(self, spectra: Spectra) -> PeakFits:
        """Fit spectra that were begun by `new_spectra`."""
        return fit_peaks(spectra, self.spacing, self.noise, self.model, min_entries=self.min_photons)


@dataclass(frozen=True)
class ModuleFlatField:
    """Gains of one module, and what they are from; a cell is one memory cell, or all together.

    frames: i8 (cell,), frames counted
    typical: {quantity: f8 (cell,)}, medians over good pixels, see `typical_values`
    spectra, fits: of the first cell that has frames
    """

    flat: FlatField
    frames: np.ndarray
    typical: dict[str, np.ndarray]
    spectra: Spectra
    fits: PeakFits


def characterise_flat_field(
    detector: Detector,
    task: Task,
    constants: Mapping[str, np.ndarray],
    options: PeakOptions,
    *,
    common_mode: ChipMode | None = None,
    limits: FlatFieldLimits | None = None,
    fixed_stage: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ModuleFlatField:
    """Gain of each pixel, and memory cell, from the distance of its photon peaks.

    task: with about["files"], {run: paths}, and about["conditions"]
    constants: {calibration: (cell, gain or quantity, slow_scan, fast_scan)}: Offset,
        ThresholdsDark (not with a fixed stage), BadPixelsDark if there are
    common_mode: of chips, taken out of each frame; None for not
    fixed_stage: 0 if the runs were taken in fixed high gain
    progress: called with (memory cells done, memory cells in all)

    Raises BadInput if a file can't be used; BadParameter if no pixel of any
    cell has a usable fit.
    """
    as_measured = GainOptions(relative=False, adjust_medium=False, xray_gain=1.0)
    nothing = np.zeros(detector.module_shape, np.uint32)
    packed = pack_agipd(constants, nothing, gains=as_measured, fixed_gain=fixed_stage is not None)
    correction = AgipdCorrection(packed, fixed_stage=fixed_stage, common_mode=common_mode)
    with ExitStack() as stack:
        paths = chain.from_iterable(task.about["files"].values())
        raws = [stack.enter_context(open_raw(path, detector, task.about["karabo_id"])) for path in paths]
        frames = _Frames(raws, correction, detector.module_shape, options)
        found = _gains(frames, int(task.about["conditions"]["Memory cells"]), limits, threads, progress)
    shown = next((cell for cell in found if cell.sample), found[0])
    assert shown.sample
    return ModuleFlatField(
        joined([cell.flat for cell in found]),
        np.array([cell.frames for cell in found]),
        {name: np.array([cell.typical[name] for cell in found]) for name in found[0].typical},
        *shown.sample,
    )


@dataclass(frozen=True)
class _Frames:
    """Frames of all runs; their signal is the ADC's, without offset and, if wanted, shift of the chips."""

    raws: Sequence[RawModuleFile]
    correction: AgipdCorrection
    shape: tuple[int, int]
    options: PeakOptions

    def spectra(self, cells: np.ndarray) -> Spectra:
        """Of all pixels, over all frames of some memory cells."""
        pixels = prod(self.shape)
        found = self.options.new_spectra(pixels)
        arrays = [np.empty((_BLOCK_FRAMES, pixels), dtype) for dtype in ("f4", "u1", "u4")]
        for raw in self.raws:
            parts = raw.parts(_BLOCK_FRAMES, np.flatnonzero(self._of_cells(raw, cells)))
            buffers = raw.new_buffers(_BLOCK_FRAMES) if parts else {}
            for entries in parts:
                block = raw.read(entries, buffers)
                data, gain, mask = (array[: block.frames] for array in arrays)
                planes = block.images["data"].reshape(block.frames, 2, -1)
                correct_agipd_frames(planes, block.cells, self.correction, data, gain, mask, self.shape)
                found.add(data, gain, mask, np.zeros(block.frames, int), _USELESS)
        return found

    def count(self, cells: np.ndarray) -> int:
        """How many there are of some memory cells."""
        return sum(int(self._of_cells(raw, cells).sum()) for raw in self.raws)

    @staticmethod
    def _of_cells(raw: RawModuleFile, cells: np.ndarray) -> np.ndarray:
        return np.isin(raw.ids(raw.detector.cell_key), cells)


@dataclass(frozen=True)
class _Cell:
    flat: FlatField
    frames: int
    typical: dict[str, float]
    sample: tuple[Spectra, PeakFits] | None


def _gains(
    frames: _Frames,
    cells: int,
    limits: FlatFieldLimits | None,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[_Cell]:
    """Gains of each cell, or of all together."""
    spectra = frames.options.new_spectra(1).counts.nbytes
    threads = threads_within(
        threads or worker_threads(), prod(frames.shape) * (spectra + _FIT_AND_FRAMES_BYTES)
    )
    counts = [frames.count(np.array([cell])) for cell in range(cells)]
    first, done = int(np.argmax(np.array(counts) > 0)), []

    def of_cell(cell: int) -> _Cell:
        found = _fitted(frames, frames.spectra(np.array([cell])), counts[cell], limits, keep=cell == first)
        done.append(cell)
        if progress:
            progress(len(done), cells)
        return found

    with ThreadPoolExecutor(threads, "flatfield") as pool:
        if frames.options.per_cell:
            return list(pool.map(of_cell, range(cells)))
        parts = pool.map(frames.spectra, np.array_split(np.arange(cells), threads))
        return [_fitted(frames, reduce(Spectra.merge, parts), sum(counts), limits, keep=True)]


def _fitted(
    frames: _Frames, spectra: Spectra, count: int, limits: FlatFieldLimits | None, keep: bool
) -> _Cell:
    fits = frames.options.fit(spectra)
    flat = flat_field_gains(fits, frames.options.photon_energy, frames.shape, limits)
    return _Cell(flat, count, typical_values(flat, fits), (spectra, fits) if keep else None)


TYPICAL_UNITS = {
    "gain": "ADU/keV",
    "spread": "ADU/keV",
    "error": "ADU/keV",
    "photons": "",
    "width": "ADU",
    "deviance": "",
}


def typical_values(flat: FlatField, fits: PeakFits) -> dict[str, float]:
    """Medians over the good pixels of a cell, NaN where there is none.

    gain; spread: of the gain from pixel to pixel, 1.4826 times the median absolute
    deviation; error: of a pixel's gain; photons: counted by a pixel; width: of the
    peaks; deviance: per degree of freedom. Units are in `TYPICAL_UNITS`.
    """
    good = flat.bad.ravel() == 0
    if not good.any():
        return dict.fromkeys(TYPICAL_UNITS, np.nan)
    gain = flat.gain.ravel()[good]
    photons = fits.amplitude[0] @ np.arange(fits.amplitude.shape[-1])
    values = {
        "gain": gain,
        "spread": 1.4826 * np.abs(gain - np.median(gain)),
        "error": flat.gain_error.ravel()[good],
        "photons": photons[good],
        "width": fits.width[0][good],
        "deviance": fits.deviance[0][good],
    }
    return {name: float(np.median(of_pixels)) for name, of_pixels in values.items()}
