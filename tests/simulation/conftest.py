"""What tests of whole simulated runs share: a module says what is lit, and how it is simulated."""

from __future__ import annotations

from pathlib import Path

import pytest
from extra_data import DataCollection, RunDirectory


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("raw")


@pytest.fixture(scope="module")
def lit_files(request, folder) -> list[Path]:
    """Run 4 in `folder`, of the settings `LIT` of the module that asks."""
    return request.module.simulate_run(folder, request.module.LIT)


@pytest.fixture(scope="module")
def lit(folder, lit_files) -> DataCollection:
    return RunDirectory(folder / "r0004")
