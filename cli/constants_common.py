"""What the commands of `calibook constants` have in common: which store, and tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from calibook.errors import BadParameter

store_option = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the store; else CALIBOOK_STORE, else a folder in the user's data folder.",
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def from_store(must_exist: bool = True, lost_index_is_fine: bool = False) -> Callable:
    """Give a command the option --store, and the opened Store as its first argument.

    must_exist: a folder given by name must be a store already
    """

    def decorate(command: Callable) -> Callable:
        @store_option
        @click.pass_context
        @functools.wraps(command)
        def opened(ctx: click.Context, store: Path | None, **options: Any) -> Any:
            from calibook.constants import Store

            given = store or ctx.obj
            found = Store(given)
            if given and must_exist and not lost_index_is_fine and not found.exists:
                raise BadParameter(
                    f"--store: there is no store in {found.folder}; calibook constants put makes one"
                )
            return command(found, **options)

        return opened

    return decorate


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; as wide as it needs to be where the output is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(
            width=max(console.measure(table, options=console.options.update(max_width=10_000)).maximum, 1)
        )
    console.print(table)
