"""`calibook constants put`: add a constant from an array in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibook.cli.constants_common import as_json_option, from_store
from calibook.errors import BadParameter

if TYPE_CHECKING:
    from calibook.constants import Condition, Store
    from calibook.detectors.base import ConstantFacts, Detector


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dataset", default="", help="Dataset of an HDF5 FILE.")
@click.option("--calibration", required=True, help="Kind of constant, e.g. Offset10Hz.")
@click.option("--dims", required=True, help="Names of the array's axes, e.g. gain,slow_scan,fast_scan.")
@click.option(
    "--unit", default="", help="Detector unit (PDU); or say where it sits: --detector, --module-da."
)
@click.option("--detector", default="", help="Karabo-id of the detector, e.g. FXE_XAD_JF1M.")
@click.option("--module-da", default="", help="Name of the module's aggregator, e.g. JNGFR01.")
@click.option(
    "--detector-name", default="jungfrau", show_default=True, help="Kind of detector, as in calibook list."
)
@click.option(
    "--detector-type", default="", help="The facility's name of the type; else that of the detector."
)
@click.option(
    "--condition", "given", multiple=True, help='"NAME=180", "NAME=10+-0.5" or NAME="text"; repeatable.'
)
@click.option(
    "--in-folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Raw runs, with --run."
)
@click.option("--run", type=click.IntRange(0), help="Take conditions and --begin from this raw run.")
@click.option("--control-source", default="", help="Control device of the run, if it is not the usual one.")
@click.option(
    "--begin", default="", help="Valid from: ISO 8601, UTC without a zone; else the start of --run."
)
@click.option("--end", default=None, help="Not valid any more at this moment; else open.")
@click.option("--description", default="", help="What a reader should know.")
@click.option("--raw-location", default="", help="The raw data it was made from.")
@as_json_option
@from_store(must_exist=False)
def put(store: Store, file: Path, given: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Add the array in FILE (.npy, .h5, .hdf5) to the store.

    Its axes are put into the stored order; those it lacks get length 1. The
    same content put twice is one entry, and nothing is ever overwritten.

    \b
    calibook constants put offset.npy --calibration Offset10Hz --dims gain,slow_scan,fast_scan \\
        --unit Jungfrau_M035 --begin 2026-11-22T18:07 --condition "Sensor Bias Voltage=180" ...
    """
    from calibook.constants import given as parsing

    detector = parsing.detector_named(options["detector_name"])
    detector_type = options["detector_type"] or detector.detector_type
    facts = parsing.facts_of(options["calibration"], detector_type, detector)
    conditions, begin, karabo_id = _conditions(given, detector, facts, options)
    array = parsing.read_array(file, options["dataset"])
    constant = store.put(
        parsing.stored_array(array, [name.strip() for name in options["dims"].split(",")], facts),
        calibration=options["calibration"],
        pdu=_unit(store, karabo_id, begin, options),
        detector_type=detector_type,
        conditions=conditions,
        begin=begin,
        end=options["end"],
        dims=facts.dims if facts else parsing.STORED_DIMS,
        description=options["description"],
        raw_location=options["raw_location"],
    )
    click.echo(json.dumps(constant.to_dict(), indent=1) if as_json else f"{constant}: {constant.file}")
    missing = [
        name for name in (facts.conditions if facts else ()) if name not in {c.name for c in conditions}
    ]
    if missing and options["run"] is None:  # a run says by leaving a condition out that it has the default
        click.echo(f"Not given, so only runs without them find it: {', '.join(missing)}.", err=True)


def _conditions(
    given: tuple[str, ...], detector: Detector, facts: ConstantFacts | None, options: dict[str, Any]
) -> tuple[list[Condition], Any, str]:
    """(conditions, begin, karabo-id), from the options and from the run if one is named."""
    from calibook.constants import given as parsing

    typed = [parsing.parse_condition(text, detector.tolerances if facts else None) for text in given]
    parsing.check_names(typed, options["calibration"], facts)
    begin, karabo_id = options["begin"], options["detector"]
    of_run: list[Condition] = []
    if (options["in_folder"] is None) != (options["run"] is None):
        raise BadParameter(
            "--in-folder and --run go together: they name the raw run that conditions are taken from"
        )
    if options["run"] is not None:
        if facts is None:
            raise BadParameter(f"--run: which conditions matter is known for {detector.detector_type} only")
        of_run, start, karabo_id = parsing.conditions_of_run(
            options["in_folder"], options["run"], detector, options["calibration"],
            karabo_id, options["control_source"],
        )  # fmt: skip
        begin = begin or start
    if not begin:
        raise BadParameter("--begin is missing: say from when on the constant is valid, or name a raw run")
    names = {c.name for c in typed}
    return [*typed, *(c for c in of_run if c.name not in names)], begin, karabo_id


def _unit(store: Store, karabo_id: str, begin: Any, options: dict[str, Any]) -> str:
    if options["unit"]:
        if options["module_da"]:
            raise BadParameter("--unit and --module-da contradict each other: give one of them")
        return options["unit"]
    if not (karabo_id and options["module_da"]):
        raise BadParameter("whose constant is it? Give --unit, or --detector and --module-da")
    return store.unit_of(karabo_id, options["module_da"], begin)
