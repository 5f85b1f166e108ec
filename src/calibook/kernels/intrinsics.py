"""numba's decorator of functions that build their own instructions, as type checkers shall see it."""

from __future__ import annotations

from typing import Any

from numba import extending

# They see how a decorated function is declared, with a context for types first, not how it is called.
intrinsic: Any = extending.intrinsic
