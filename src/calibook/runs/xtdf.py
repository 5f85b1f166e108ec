"""What XTDF detectors (AGIPD, LPD, DSSC) send with a train, besides its images.

A header, a block that only the detector understands, and a trailer; here with
the fields that readers look at, the rest is 0.
"""

from __future__ import annotations

import numpy as np

from calibook.runs.raw_writer import TrainGroups

_FORMAT_VERSION = (1, 0)
_MAGIC_BEGIN, _MAGIC_END = b"XTDFBGN\0", b"XTDFEND\0"


def xtdf_groups(
    train_ids: np.ndarray, frames_per_train: np.ndarray, module: int, detector_bytes: int
) -> TrainGroups:
    """Groups `header`, `detector` and `trailer` of a raw file.

    train_ids, frames_per_train: integers (train,)
    module: number of the module, which is that of its data link
    detector_bytes: length of the detector's own block: 5408 for AGIPD, 416 for LPD and DSSC
    """
    n = len(train_ids)
    ids = np.asarray(train_ids, "u8")
    return {
        "header": {
            "dataId": np.zeros(n, "u8"),
            "linkId": np.full(n, module, "u8"),
            "magicNumberBegin": _text(_MAGIC_BEGIN, n),
            "majorTrainFormatVersion": np.full(n, _FORMAT_VERSION[0], "u4"),
            "minorTrainFormatVersion": np.full(n, _FORMAT_VERSION[1], "u4"),
            "pulseCount": np.asarray(frames_per_train, "u8"),
            "reserved": np.zeros((n, 16), "u1"),
            "trainId": ids,
        },
        "detector": {"data": np.zeros((n, detector_bytes), "u1"), "trainId": ids},
        "trailer": {
            "checksum": np.zeros((n, 16), "i1"),
            "magicNumberEnd": _text(_MAGIC_END, n),
            "status": np.zeros(n, "u8"),
            "trainId": ids,
        },
    }


def _text(text: bytes, n: int) -> np.ndarray:
    return np.tile(np.frombuffer(text, "i1"), (n, 1))
