"""Which constants a correction of AGIPD asks for. Plans need no more: nothing here loads a kernel."""

from __future__ import annotations

from collections.abc import Mapping

from calibook.detectors.agipd import fixed_stage
from calibook.detectors.base import ConditionValue

# Of options that aren't true or false.
_WITHOUT = {"rel_gain": "off"}


def wanted_constants(
    conditions: Mapping[str, ConditionValue], relative: bool, adjust_medium: bool, xray_gain: bool
) -> dict[str, bool | str]:
    """Constants that a correction needs (True, or a text that tells what for) or can use (False).

    conditions: of the run; with a fixed gain mode no thresholds are needed
    relative, adjust_medium, xray_gain: the options rel_gain, adjust_mg_baseline and xray_gain
    """
    scan = [name for name, on in (("rel_gain", relative), ("adjust_mg_baseline", adjust_medium)) if on]
    return {
        "Offset": True,
        "ThresholdsDark": fixed_stage(conditions) is None,
        "BadPixelsDark": False,
        "Noise": False,
        "SlopesPC": _asked_by(scan),
        "BadPixelsPC": False,
        "SlopesFF": _asked_by(["xray_gain"] if xray_gain else []),
        "BadPixelsFF": False,
    }


def _asked_by(options: list[str]) -> bool | str:
    named = " and ".join(options)
    how = " ".join(f"--{name.replace('_', '-')} {_WITHOUT.get(name, 'false')}" for name in options)
    return f"{named} need{'s' * (len(options) == 1)} it; {how} does without" if options else False
