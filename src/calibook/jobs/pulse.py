"""The state of a running attempt: how far it is, what it takes, that it lives."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from calibook.jobs.state import HEARTBEAT, Attempt, touch_attempt, write_attempt

_SAMPLE_SECONDS = 0.5
# A new peak is written down if it is so much above the last one: a killed task can't do it later.
_NOTABLE = 1.1


class Pulse:
    """Used as a context while an attempt runs; a thread looks at its memory and shows that it lives."""

    def __init__(self, task_folder: Path, attempt: Attempt):
        self.folder, self.attempt = task_folder, attempt
        self._peak = 0.0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.attempt = replace(self.attempt, job_memory_mb=self._peak)

    def on_cell(self, done: int, cells: int) -> None:
        """Note how many code cells are done."""
        self._write(cells_done=done, cells=cells)

    def _watch(self) -> None:
        written, beat = 0.0, time.monotonic()
        while not self._over.wait(_SAMPLE_SECONDS):
            self._peak = max(self._peak, family_memory_mb())
            try:
                if self._peak > written * _NOTABLE:
                    self._write()
                    written, beat = self._peak, time.monotonic()
                elif time.monotonic() - beat > HEARTBEAT:
                    touch_attempt(self.folder, self.attempt)
                    beat = time.monotonic()
            except OSError:
                continue  # the disk is full or away for a moment: the task itself will say so

    def _write(self, **changes: Any) -> None:
        with self._lock:
            self.attempt = replace(self.attempt, job_memory_mb=self._peak, **changes)
            write_attempt(self.folder, self.attempt, flush=False)


def family_memory_mb() -> float:
    """Memory of this process and all below it [MB of 1024² bytes], as schedulers count it."""
    me = psutil.Process(os.getpid())
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 2**20
