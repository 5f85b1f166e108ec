"""Imports without what they would bring along for purposes that are not ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any


@contextmanager
def stand_ins(packages: Mapping[str, Any]) -> Iterator[None]:
    """In here, packages that are not loaded yet are what is given; None looks as if not installed.

    For libraries that need them only for what we never ask for.
    """
    given = {name: package for name, package in packages.items() if name not in sys.modules}
    sys.modules.update(given)
    try:
        yield
    finally:
        for name in given:
            del sys.modules[name]


def pretended_missing(*packages: str) -> AbstractContextManager[None]:
    """In here, packages that are not loaded yet look as if they were not installed.

    For libraries that can do without them and say so only when they are used.
    """
    return stand_ins(dict.fromkeys(packages))
