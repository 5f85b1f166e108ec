"""`calibook constants`: look into the store of calibration constants, and add to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibook.cli.constants_common import as_json_option, from_store, print_table, store_option
from calibook.cli.constants_put import put
from calibook.errors import BadParameter, ConstantDamaged

if TYPE_CHECKING:
    from calibook.constants import Constant, Store


class _Constants(click.Group):
    """Names the nearest command for an unknown one, and shows a system's error without a traceback."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from calibook.constants.names import known_names

            raise click.UsageError(
                f"no such command: {args[0]!r}; {known_names(args[0], list(self.commands))}", ctx
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Constants)
@store_option
@click.pass_context
def constants(ctx: click.Context, store: Path | None) -> None:
    """The store of calibration constants: list, show, put, freeze, verify."""
    ctx.obj = store


constants.add_command(put)


@constants.command("list")
@click.option("--calibration", help="Only this kind of constant, e.g. Offset10Hz.")
@click.option("--unit", help="Only this detector unit.")
@click.option("--detector-type", help="Only this type, e.g. jungfrau-Type.")
@click.option("--frozen", default="", help="Only this frozen set.")
@as_json_option
@from_store()
def list_(
    store: Store,
    calibration: str | None,
    unit: str | None,
    detector_type: str | None,
    frozen: str,
    as_json: bool,
) -> None:
    """List constants, oldest entry first."""
    found = store.entries(calibration, unit, detector_type, frozen=frozen)
    if as_json:
        click.echo(json.dumps([c.to_dict() for c in found], indent=1))
    elif not found:
        click.echo(f"No such constants in {store.folder}.")
    else:
        columns = ("id", "calibration", "unit", "valid from", "until", "axes", "conditions")
        print_table(columns, [_row(c) for c in found])


def _row(c: Constant) -> tuple[str, ...]:
    axes = ", ".join(f"{name} {length}" for name, length in zip(c.dims, c.shape, strict=True))
    return str(c.id), c.calibration, c.pdu, c.begin, c.end or "", axes, ", ".join(map(str, c.conditions))


@constants.command()
@click.argument("id", type=int)
@as_json_option
@from_store()
def show(store: Store, id: int, as_json: bool) -> None:
    """Show all of a constant: fields, statistics of the array, whether it is as it was put."""
    from calibook.constants.summary import statistics

    constant = store.get(id)
    problem, numbers = "", []
    try:
        numbers = statistics(store.load(constant), constant.dims)
    except ConstantDamaged as error:
        problem = str(error)
    if as_json:
        click.echo(json.dumps({**constant.to_dict(), "statistics": numbers, "problem": problem}, indent=1))
    else:
        _print_fields(constant)
        if numbers:
            rows = [[f"{v:g}" if isinstance(v, float) else str(v) for v in row.values()] for row in numbers]
            print_table([name.replace("_", " ") for name in numbers[0]], rows)
        click.echo(f"damaged: {problem}" if problem else "The content is as it was put.")
    if problem:
        sys.exit(1)


def _print_fields(constant: Constant) -> None:
    fields = constant.to_dict() | {"conditions": "", "end": constant.end or "open"}
    fields |= {"dims": ", ".join(constant.dims), "shape": " x ".join(map(str, constant.shape))}
    for name, value in fields.items():
        click.echo(f"{name.replace('_', ' '):14}{value}".rstrip())
        if name == "conditions":
            for condition in constant.conditions:
                click.echo(f"{'':14}{condition}")


@constants.command()
@click.argument("name")
@click.argument("ids", nargs=-1, type=int)
@from_store()
def freeze(store: Store, name: str, ids: tuple[int, ...]) -> None:
    """Make a named set of constants that never changes; of all there are if no IDS are given."""
    store.freeze(name, ids or None)
    click.echo(f"Frozen set {name}: {len(store.frozen_sets()[name])} constants.")


@constants.command()
@as_json_option
@from_store()
def frozen(store: Store, as_json: bool) -> None:
    """List the frozen sets."""
    sets = store.frozen_sets()
    if as_json:
        click.echo(json.dumps(sets, indent=1))
        return
    for name, ids in sets.items():
        click.echo(f"{name}: {', '.join(map(str, ids))}")


@constants.command()
@from_store()
def verify(store: Store) -> None:
    """Read every file and compare it with what was put; exit code 1 if something differs."""
    _tell(store, store.verify())


@constants.command()
@from_store(lost_index_is_fine=True)
def reindex(store: Store) -> None:
    """Make the index anew from the files; exit code 1 if a file could not be taken in."""
    if not store.folder.is_dir():
        raise BadParameter(f"there is no store {store.folder}")
    _tell(store, store.rebuild_index())


def _tell(store: Store, problems: Sequence[str]) -> None:
    """What was wrong with a store's files; exit code 1 if something was."""
    for problem in problems:
        click.echo(problem)
    click.echo(f"{len(store.entries())} constants in {store.folder}; problems: {len(problems) or 'none'}")
    if problems:
        sys.exit(1)


@constants.command()
@click.option("--detector", required=True, help="Karabo-id of the detector, e.g. FXE_XAD_JF1M.")
@click.option("--module-da", required=True, help="Position: name of the module's aggregator, e.g. JNGFR01.")
@click.option("--unit", required=True, help="Detector unit that sits there, e.g. Jungfrau_M035.")
@click.option("--begin", required=True, help="From when on: ISO 8601, UTC without a zone.")
@from_store(must_exist=False)
def assign(store: Store, detector: str, module_da: str, unit: str, begin: str) -> None:
    """Note which detector unit sits at a position from a moment on."""
    noted = store.assign(detector, module_da, unit, begin)
    click.echo(f"{noted.detector} {noted.karabo_da} is {noted.pdu} from {noted.begin} on.")


@constants.command()
@as_json_option
@from_store()
def units(store: Store, as_json: bool) -> None:
    """List which detector unit sits where, with history."""
    from dataclasses import asdict

    rows = [asdict(a) for a in store.assignments()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
