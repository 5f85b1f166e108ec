"""Raw files to test with; `raw_runs.py` makes them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from raw_runs import MadeFile, make_file


@pytest.fixture
def made(tmp_path: Path) -> MadeFile:
    """A raw file of six trains with four frames."""
    return make_file(tmp_path / "r0004")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., MadeFile]:
    """Makes raw files of run 4, as `make_file`."""
    return lambda **what: make_file(tmp_path / "r0004", **what)
