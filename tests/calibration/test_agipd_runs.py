"""AGIPD 1M or 500K, told by a run."""

from __future__ import annotations

import pytest

from calibook.calibration.agipd.runs import detector_of_run
from calibook.detectors.agipd import AGIPD, AGIPD_500K, agipd_of
from calibook.errors import BadParameter
from calibook.simulation.agipd import simulate_run
from calibook.simulation.agipd_settings import AgipdSettings


@pytest.mark.parametrize("half_size", [False, True])
def test_the_run_s_files_tell_the_detector(tmp_path, half_size):
    settings = AgipdSettings(run=3, trains=1, modules=(0,), memory_cells=4, scene="dark", half_size=half_size)
    simulate_run(tmp_path, settings)
    expected = AGIPD_500K if half_size else AGIPD
    assert detector_of_run(str(tmp_path), 3) is expected
    assert agipd_of(settings.karabo_id) is expected
    with pytest.raises(BadParameter, match="modules"):
        detector_of_run(str(tmp_path), 3, [7])
