"""The `calibook` command: groups made from the notebooks, and a few fixed commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibook import __version__
from calibook.errors import BadInput, BadParameter, CalibookError

if TYPE_CHECKING:
    from calibook.procedures.notebook import Procedure

FIXED = ("list", "run", "status", "resume", "cancel", "reproduce", "constants", "simulate", "check")
# What schedulers and `resume` call.
HIDDEN = ("task", "element", "finish")


def _run(procedure: Procedure, values: dict[str, Any], **options: Any) -> None:
    from calibook.cli.jobs import run_request

    run_request(procedure, values, **options)


def _command(procedure: Procedure) -> click.Command:
    from calibook.cli.jobs import request_options
    from calibook.cli.parameters import procedure_command

    return procedure_command(procedure, _run, request_options)


def _procedures() -> list[Procedure]:
    from calibook.procedures.notebook import find_procedures

    return find_procedures()


class _Strict(click.Group):
    """A group that names the nearest command when it does not know one."""

    def resolve_command(self, ctx: click.Context, args: list[str]):
        from calibook.procedures.notebook import nearest

        name = args[0]
        if (found := self.get_command(ctx, name)) is not None:
            return name, found, args[1:]
        if not name.startswith("-"):
            known = self.list_commands(ctx)
            close = nearest(name, known)
            hint = f" Did you mean {close!r}?" if close else ""
            raise click.UsageError(f"no such command: {name!r}.{hint} There are: {', '.join(known)}.", ctx)
        return super().resolve_command(ctx, args)


class _Detector(_Strict):
    """The procedures of one detector, each a command."""

    def __init__(self, name: str, procedures: list[Procedure]):
        self.procedures = {p.name: p for p in procedures}
        super().__init__(name, help=f"Procedures for {name}: {', '.join(sorted(self.procedures))}.")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.procedures)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self.procedures.get(cmd_name)
        return _command(found) if found else None


class _Simulate(_Strict):
    """`calibook simulate DETECTOR`: the detector's procedure `simulate`."""

    def _found(self) -> dict[str, Procedure]:
        return {p.detector: p for p in _procedures() if p.name == "simulate"}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self._found().get(cmd_name)
        if found is None:
            return None
        command = _command(found)
        command.name = cmd_name
        return command


class _Calibook(_Strict):
    """All commands: the fixed ones, and a group for each folder of notebooks."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*FIXED, *sorted({p.detector for p in _procedures()})]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ("resume", "reproduce", "task"):
            from calibook.cli import jobs

            return getattr(jobs, cmd_name)
        if cmd_name in ("cancel", "element", "finish"):
            from calibook.cli import slurm

            return getattr(slurm, cmd_name)
        if cmd_name == "status":
            from calibook.cli.status import status

            return status
        if cmd_name == "constants":
            from calibook.cli.constants import constants

            return constants
        if cmd_name == "simulate":
            return _Simulate(
                "simulate", help="Simulate a raw run with known truth: calibook simulate DETECTOR."
            )
        if cmd_name in FIXED:
            return {"list": list_procedures, "run": run_notebook, "check": check}[cmd_name]
        mine = [p for p in _procedures() if p.detector == cmd_name]
        return _Detector(cmd_name, mine) if mine else None


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_procedures(as_json: bool) -> None:
    """List detectors and procedures, one line each, from the notebooks themselves."""
    from calibook.procedures.notebook import broken_procedures

    for path, why in broken_procedures().items():
        click.echo(f"{path}: left out: {why}", err=True)
    found = _procedures()
    if as_json:
        import json

        rows = [
            {"detector": p.detector, "procedure": p.name, "about": p.about, "notebook": str(p.path)}
            for p in found
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    width = max((len(f"{p.detector} {p.name}") for p in found), default=0)
    for p in found:
        click.echo(f"{p.detector + ' ' + p.name:{width}}  {p.about}")


@click.command(
    "run",
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "allow_interspersed_args": False,
    },
    add_help_option=False,
)
@click.argument("notebook", type=click.Path(path_type=Path))
@click.pass_context
def run_notebook(ctx: click.Context, notebook: Path) -> None:
    """Run any notebook that has a parameter cell: calibook run my/own.ipynb --run 4 ..."""
    from calibook.procedures.notebook import read_procedure

    if str(notebook) in ("--help", "-h"):
        click.echo("Usage: calibook run NOTEBOOK [OPTIONS]\n\n  " + str(run_notebook.help))
        click.echo("\n  calibook run NOTEBOOK --help shows the notebook's own parameters.")
        return
    if not notebook.is_file():
        raise BadParameter(f"{notebook}: there is no such notebook")
    try:
        command = _command(read_procedure(notebook.resolve()))
    except BadInput as error:
        raise BadParameter(str(error)) from error
    command.main(args=ctx.args, prog_name=f"calibook run {notebook}", standalone_mode=False)


@click.command("check")
@click.argument(
    "notebooks", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--run", "execute", is_flag=True, help="Run the notebook too, top to bottom.")
def check(notebooks: tuple[Path, ...], execute: bool) -> None:
    """Check notebooks: parameters that parse, no stored outputs, code that runs top to bottom."""
    from calibook.procedures.check import check_notebook

    bad = False
    for path in notebooks:
        problems = check_notebook(path, run=execute)
        bad = bad or bool(problems)
        click.echo(f"{path}: {'ok' if not problems else f'{len(problems)} problems'}")
        for problem in problems:
            click.echo(f"  {problem}")
    if bad:
        sys.exit(1)


@click.command(
    cls=_Calibook,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A procedure's parameters: calibook DETECTOR PROCEDURE --help",
)
@click.version_option(__version__, prog_name="calibook")
def calibook() -> None:
    """Calibrate X-ray detector data: notebooks in, corrected files and a report out."""


def main(args: list[str] | None = None) -> None:
    """Entry point: exit code 0 done, 1 something failed, 2 the command is wrong."""
    try:
        result = calibook.main(args=args, prog_name="calibook", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except BadParameter as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except CalibookError as error:
        click.echo(f"Error ({error.cause}): {error}", err=True)
        sys.exit(1)
    except OSError as error:  # a disk that is full, a folder that vanished
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
