"""Imports without what they would bring along for purposes that are not ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pretended_missing(*packages: str) -> Iterator[None]:
    """In here, packages that are not loaded yet look as if they were not installed.

    For libraries that can do without them and say so only when they are used.
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
