"""The bad-pixel bits that kernels set themselves, typed for compiled code.

They repeat values of the facility's bad-pixel word because kernels know no
detector; a test holds the two together.
"""

from __future__ import annotations

import numpy as np

NO_DARK_DATA = np.uint32(1 << 3)
VALUE_IS_NAN = np.uint32(1 << 11)
VALUE_OUT_OF_RANGE = np.uint32(1 << 12)
WRONG_GAIN_VALUE = np.uint32(1 << 21)
NONE = np.uint32(0)
ALL = 0xFFFFFFFF
