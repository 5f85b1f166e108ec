"""What all measurements of a disk have in common."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def copied(source: Path, target: Path) -> None:
    """Copy a file and flush it: the least that any program needs to write as much."""
    shutil.copyfile(source, target)
    flush(target)


def flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())


def forget(*paths: Path) -> None:
    """Remove files and wait until the disk is done with it.

    Else whoever writes next pays for what an earlier one wrote.
    """
    for path in paths:
        path.unlink(missing_ok=True)
    os.sync()
