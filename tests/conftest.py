"""What all rooms' tests share."""

import os
import sys
from pathlib import Path

import hypothesis
import pytest

# Helpers of several rooms lie beside this file.
sys.path.insert(0, str(Path(__file__).parent))
# Tests and the processes that they start compile a kernel once, together. Set before numba is loaded.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "numba"))

# Machines are slow at times: how long an example takes says nothing.
hypothesis.settings.register_profile("any machine", hypothesis.settings(deadline=None))
hypothesis.settings.load_profile("any machine")

REALDATA = Path(__file__).resolve().parents[1] / "../shared/data"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of the real detector frames; mark tests that use it with `realdata`.

    Without the folder the test is skipped, but fails where CI is set: there
    nothing may be skipped.
    """
    folder = Path(os.environ.get("CALIBOOK_REALDATA") or REALDATA)
    if not folder.is_dir():
        message = f"no real detector frames in {folder}; set CALIBOOK_REALDATA to the folder that holds them"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder.resolve()
