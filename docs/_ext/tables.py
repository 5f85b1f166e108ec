"""Tables that follow the code: bad-pixel bits, states of tasks, facts of detectors, the grammar."""

from __future__ import annotations

from rest import code, literal, plain, table
from sphinx.errors import ExtensionError

from calibook.calibration.dark_limits import DarkLimits
from calibook.detectors.agipd import AGIPD
from calibook.detectors.bad_pixels import INFORMATIONAL, BadPixels
from calibook.detectors.base import Detector
from calibook.detectors.jungfrau import ADC_MAX, GAIN_CODES, INVALID_CODE, JUNGFRAU
from calibook.jobs.state import STATES
from calibook.procedures import grammar
from calibook.procedures.notebook import find_procedures

# Which step of the procedures sets a bit, and when.
SET_BY = {
    "OFFSET_OUT_OF_THRESHOLD": "darks: offset outside its limits, or ADC too often at an end of its range",
    "NOISE_OUT_OF_THRESHOLD": "darks: noise outside its limits",
    "OFFSET_NOISE_EVAL_ERROR": "darks: offset or noise is no finite number",
    "NO_DARK_DATA": "darks: no frame with the expected gain code; correction: no constants for the cell",
    "GAIN_THRESHOLDING_ERROR": "darks of AGIPD: gain stages that the gain plane can't tell apart",
    "CI_EVAL_ERROR": "scans of AGIPD: no line of high or of medium gain",
    "CI_GAIN_OF_OF_THRESHOLD": "scans of AGIPD: ratio of slopes or high slope outside its limits",
    "CI_LINEAR_DEVIATION": "scans of AGIPD: too much scatter round a line",
    "FF_NO_ENTRIES": "flat fields of AGIPD: too few photons",
    "FF_GAIN_EVAL_ERROR": "flat fields of AGIPD: no fit, or a bad or uncertain one",
    "FF_GAIN_DEVIATION": "flat fields of AGIPD: gain or width of the peaks far from the module's",
    "VALUE_IS_NAN": "correction: the arithmetic gave no finite number",
    "VALUE_OUT_OF_RANGE": "correction: the ADC stood at an end of its range",
    "WRONG_GAIN_VALUE": "darks: too many frames with another gain code; correction: the code does not exist",
    "NON_STANDARD_SIZE": "correction: a wider pixel between chips; it measured, but over a larger area",
}

MEANING_OF_STATES = {
    "waiting": ("not begun, or its outputs are gone or changed since", "resume"),
    "running": ("its process is at work now", "wait"),
    "done": ("outputs and records are there and complete", "nothing"),
    "bad input": ("a raw file can't be used; file, dataset and train are named", "replace the file, resume"),
    "bad parameter": ("a value contradicts the data or another value", "give the command again"),
    "no constants": ("the store has none for this unit, these conditions and this time; the nearest is named",
                     "put the constant, give the command again"),
    "constant damaged": ("a constant's file is missing or not what was put", "restore the file, resume"),
    "store unusable": ("the store's index can't be opened, read or written", "mend it, resume"),
    "out of memory": ("Python could not get the memory it asked for", "fewer --workers, resume"),
    "overtaken": ("of an attempt alone: another one was complete first", "nothing"),
    "out of time": ("it took longer than its scheduler allowed", "resume"),
    "killed": ("a signal or Ctrl-C ended it, or the system, when memory ran out", "resume"),
    "cancelled": ("its job was stopped on purpose", "resume"),
    "preempted": ("its job gave way to a more urgent one", "resume"),
    "node lost": ("its machine gave no sign of life any more", "resume"),
    "bug": ("any other error: calibook or the notebook has to be mended; cell and line are shown",
            "mend or report it"),
}  # fmt: skip


def contents() -> dict[str, str]:
    """All tables, {file name: reStructuredText}."""
    return {
        "bad-pixels.inc": bad_pixels(),
        "states.inc": states(),
        "grammar.inc": literal(grammar.__doc__ or ""),
        "jungfrau-facts.inc": facts(JUNGFRAU),
        "jungfrau-constants.inc": constants(JUNGFRAU),
        "jungfrau-codes.inc": gain_codes(),
        "jungfrau-limits.inc": dark_limits(JUNGFRAU),
        "agipd-facts.inc": facts(AGIPD),
        "agipd-constants.inc": constants(AGIPD),
        "agipd-limits.inc": dark_limits(AGIPD),
    }


def bad_pixels() -> str:
    """Bits of the mask."""
    unknown = SET_BY.keys() - BadPixels.__members__.keys()
    if unknown:
        raise ExtensionError(f"docs: no such bad-pixel bits: {', '.join(sorted(unknown))}")
    rows = []
    for bit in BadPixels:
        by = SET_BY.get(str(bit.name), "–") + (" (informational)" if bit & INFORMATIONAL else "")
        rows.append([str(bit.bit_length() - 1), code(f"0x{bit:X}"), code(bit.name), plain(by)])
    return table(["bit", "value", "name", "set by calibook"], rows, [5, 14, 31, 50])


def states() -> str:
    """States of a task."""
    unknown = [state for state in STATES if state not in MEANING_OF_STATES]
    if unknown:
        raise ExtensionError(f"docs/_ext/tables.py: say what these states mean: {', '.join(unknown)}")
    rows = [[code(state), *map(plain, MEANING_OF_STATES[state])] for state in STATES]
    return table(["state", "meaning", "what to do"], rows, [18, 50, 32])


def facts(detector: Detector) -> str:
    """What calibook knows about a detector's files."""

    def named(keys: dict[str, str]) -> str:
        return ", ".join(f"{code(name)} {kind}" for name, kind in keys.items()) or "–"

    (slow, fast), first = detector.module_shape, detector.first_module
    rows = [
        ["module", f"{slow} x {fast} pixels (slow_scan x fast_scan) of {detector.pixel_size_mm * 1000:g} µm"],
        ["gain stages", ", ".join(detector.gain_stages)],
        ["file of a module", f"{code(f'RAW-R0004-{detector.aggregator}-S00000.h5')}, NN from {first:02d}"],
        ["raw source", code(detector.raw_source)],
        ["corrected source", code(detector.corrected_source)],
        ["control source", code(detector.control_source)],
        ["raw images", named(dict(detector.image_keys))],
        ["per frame", named(dict(detector.frame_keys))],
        ["per train", named(dict(detector.train_keys))],
        ["corrected images", named(dict(detector.corrected_keys))],
    ]
    rows = [[name, plain_braces(value)] for name, value in rows]
    return table(["", detector.title], rows, [22, 78])


def plain_braces(text: str) -> str:
    """Templates as people read them: `{module:02d}` as `NN`."""
    names = {"module:02d": "NN", "module": "N", "karabo_id": "KARABO_ID", "control": "CONTROL"}
    for field, name in names.items():
        text = text.replace(f"{{{field}}}", name)
    return text


def constants(detector: Detector) -> str:
    """Kinds of constants and what they depend on."""
    common = set.intersection(*(set(facts.conditions) for facts in detector.constants.values()))
    rows = []
    for name, facts in detector.constants.items():
        more = [condition for condition in facts.conditions if condition not in common]
        rows.append(
            [code(name), plain(facts.meaning), facts.unit or "–", facts.dtype, ", ".join(more) or "–"]
        )
    listed = [name for name in next(iter(detector.constants.values())).conditions if name in common]
    by_dims: dict[str, list[str]] = {}
    for name, facts in detector.constants.items():
        by_dims.setdefault(", ".join(facts.dims), []).append(code(name))
    axes = "; ".join(
        plain(dims) + (f" ({', '.join(names)})" if len(by_dims) > 1 else "")
        for dims, names in by_dims.items()
    )
    tolerances = ", ".join(
        f"{name} within {value:g} {detector.condition_units.get(name, '')}".rstrip()
        for name, value in detector.tolerances.items()
    )
    columns = ["constant", "meaning", "unit", "dtype", "further conditions"]
    note = f"Axes as stored: {axes}. All depend on: {', '.join(listed)}. Tolerances: {tolerances or 'none'}."
    return f"{table(columns, rows, [24, 30, 12, 9, 25])}\n{note}\n"


def gain_codes() -> str:
    """Codes of the gain plane."""
    rows = [
        [str(c), stage, str(s)]
        for s, (c, stage) in enumerate(zip(GAIN_CODES, JUNGFRAU.gain_stages, strict=True))
    ]
    rows.append([str(INVALID_CODE), "does not exist", f"2, with {code('WRONG_GAIN_VALUE')} and value 0"])
    rows.sort()
    note = f"\nThe ADC has values 0 to {ADC_MAX}; bits above the 14th are ignored.\n"
    return table(["raw code", "gain stage", "corrected `data.gain`"], rows, [20, 30, 50]) + note


def dark_limits(detector: Detector) -> str:
    """Limits of the notebook, and of the library where the notebook does not set them."""
    found = next(p for p in find_procedures() if (p.detector, p.name) == (detector.name, "dark")).parameters
    value = {name: parameter.default for name, parameter in found.items()}
    ranges = {"offset [ADU]": "offset_{}", "noise [ADU]": "noise_{}"}
    if "offset_low_fixed" in value:
        ranges["offset with fixed gain [ADU]"] = "offset_{}_fixed"
    rows = []
    for what, of in ranges.items():
        pairs = zip(value[of.format("low")], value[of.format("high")], strict=True)
        rows.append([what, *(f"{low:g} to {high:g}" for low, high in pairs)])
    shares = {
        "distance from the module's median [robust sigma]": value["sigmas"],
        "share of frames with another gain code": value.get("max_wrong_gain"),
        "distance of the gain plane from the next stage's [sigma]": value.get("gain_sigmas"),
        "share of frames at an end of the ADC's range": DarkLimits.saturated,
    }
    rows += [[what, *3 * [f"{limit:g}"]] for what, limit in shares.items() if limit is not None]
    return table(["good pixels have", *detector.gain_stages], rows, [40, 20, 20, 20])
