"""The small runs of `tests/runs`, for the examples of the documentation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))
