"""The commands' own help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rest import code, heading, literal, plain, table

from calibook.cli.main import calibook

_WIDTH = 100


def contents() -> dict[str, str]:
    """A page with the help of all commands, and a table of the commands about constants."""
    pages = [
        heading("Commands"),
        "What each command says with `--help`. A procedure's options come from its notebook; "
        "see also the tables in :doc:`../procedures`.\n",
    ]
    for path, help_text in _helps(calibook, "calibook"):
        pages += [heading(path, "-"), literal(help_text)]
    return {"commands.rst": "\n".join(pages), "constants-commands.inc": _constants()}


def _helps(
    command: click.Command, path: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """(command as typed, its help) of a command and all below it."""
    settings: dict[str, Any] = {**command.context_settings, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=path.split()[-1], parent=parent, **settings)
    context.terminal_width = _WIDTH
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and path != "calibook simulate":  # the same as `calibook DETECTOR simulate`
                yield from _helps(child, f"{path} {name}", context)


def _constants() -> str:
    context = click.Context(calibook)
    group = calibook.get_command(context, "constants")
    assert isinstance(group, click.Group)
    rows = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        rows.append([code(f"calibook constants {name}"), plain((command.help or "").split("\n\n")[0])])
    return table(["command", "what it does"], rows, [35, 65])
