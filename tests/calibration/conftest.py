"""A small JUNGFRAU, raw runs of it with known numbers, and a store with constants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibook.calibration.planning.corrections import plan_correction
from calibook.calibration.planning.darks import plan_darks
from calibook.calibration.planning.pins import Wanted
from calibook.constants import Condition, Store, as_stored
from calibook.detectors.base import Detector
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.procedures.tasks import Plan
from calibook.runs.raw_writer import RunPart, raw_file_writer, write_control_file

SMALL = replace(JUNGFRAU, module_shape=(16, 64))
KARABO_ID = "FXE_XAD_JF1M"
START_NS = 1_735_689_600_000_000_000  # 2025-01-01
AXES = ("cell", "gain", "slow_scan", "fast_scan")
CODES = np.array([0, 1, 3], "u1")


@dataclass(frozen=True)
class World:
    """Raw runs and constants below one folder."""

    folder: Path
    detector: Detector
    store: Store

    @property
    def raw(self) -> str:
        return str(self.folder / "raw")

    def write_run(
        self,
        run: int,
        adc: np.ndarray,
        stage: np.ndarray,
        *,
        modules: tuple[int, ...] = (1,),
        gain_mode: str = "dynamic",
        cells: np.ndarray | None = None,
        sequence: int = 0,
        voltage: int = 180,
    ) -> None:
        """adc u2, stage (T, F, slow_scan, fast_scan); the same for all modules."""
        trains, frames = adc.shape[:2]
        numbers = np.arange(trains, dtype="u8") + 1000 * sequence
        stamps = START_NS + run * 60_000_000_000 + numbers * 100_000_000
        part = RunPart(run, sequence, 10_000 * run + numbers, stamps)
        folder = self.folder / "raw" / f"r{run:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        shown = np.broadcast_to(np.arange(frames) if cells is None else cells, (trains, frames))
        values = {
            "memoryCell": shown.astype("u1"),
            "frameNumber": np.arange(trains * frames, dtype="u8").reshape(trains, frames),
            "bunchId": np.zeros((trains, frames), "u8"),
            "timestamp": np.zeros((trains, frames), "f8"),
        }
        for module in modules:
            with raw_file_writer(folder, self.detector, KARABO_ID, module, part, frames) as writer:
                writer.append({"adc": adc.astype("u2"), "gain": CODES[stage]}, values)
        control = {
            "highVoltage": np.array([voltage], "u4"),
            "storageCells": np.int16(frames - 1),
            "exposureTime": np.float32(10e-6),
            "exposureTimeout": np.uint32(25),
            "settings": "gain0",
            "gainMode": gain_mode,
        }
        if sequence == 0:
            write_control_file(folder, self.detector, KARABO_ID, part, control)

    def put(self, calibration: str, array: np.ndarray, module: int = 1, begin: str = "2025-01-01") -> int:
        """array: axes AXES; for one or 16 memory cells as its first axis says. Returns the entry's id."""
        conditions = {
            "Sensor Bias Voltage": 180.0,
            "Memory Cells": float(array.shape[0]),
            "Pixels X": 1024.0,
            "Pixels Y": 512.0,
            "Integration Time": 10.0,
            "Sensor temperature": 291.0,
            "Gain Setting": 0.0,
        }
        facts = self.detector.constants[calibration]
        constant = self.store.put(
            as_stored(array.astype(facts.dtype), AXES),
            calibration=calibration,
            pdu=self.store.unit_of(KARABO_ID, f"JNGFR{module:02d}", begin),
            detector_type=self.detector.detector_type,
            conditions=[Condition(name, value, 0.01, 0.01) for name, value in conditions.items()],
            begin=begin,
            dims=facts.dims,
        )
        return constant.id

    def plan_correction(self, constants: Wanted, **options: Any) -> Plan:
        """Of run 4 to the folder `proc`. constants: {calibration: required}"""
        return plan_correction(
            self.detector,
            in_folder=self.raw,
            run=4,
            out_folder=str(self.folder / "proc"),
            constants=constants,
            store=str(self.store.folder),
            **options,
        )

    def plan_darks(self, runs: dict[str, int] | None = None) -> Plan:
        """Of runs 1, 2, 3 to the folder `darks`."""
        return plan_darks(
            self.detector,
            in_folder=self.raw,
            runs=runs or {"G0": 1, "G1": 2, "G2": 3},
            out_folder=str(self.folder / "darks"),
            constants=["Offset10Hz"],
            store=str(self.store.folder),
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, SMALL, Store(tmp_path / "store"))
