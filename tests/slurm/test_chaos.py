"""A few rounds of `chaos.py`, which does a hundred."""

from __future__ import annotations

import pytest
from chaos import rounds

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.chaos]


def test_killed_everywhere_the_results_are_the_same(slurm, tmp_path):
    folder = tmp_path / "chaos"
    folder.mkdir()
    rounds(slurm, folder, range(3, 6), slow=False)
