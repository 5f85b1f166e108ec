"""A polite end: a signal becomes an exception, so that what was begun is tidied up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_asked = threading.Event()


class Stopped(KeyboardInterrupt):
    """The process was asked to end, by Ctrl-C or by a signal."""


def was_asked() -> bool:
    """Whether a signal has asked this process to end."""
    return _asked.is_set()


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM (what schedulers and service managers send first) raises Stopped in here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        _asked.set()
        raise Stopped(f"stopped by signal {number} ({signal.Signals(number).name})")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
