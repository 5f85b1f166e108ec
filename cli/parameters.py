"""A procedure as a command: its parameters as strictly read options.

Rules that hold for every procedure:

- each parameter is one option, `--in-folder` for `in_folder`, followed by one value;
  true or false is a value like any other: `--strixel true`;
- no abbreviations, no option twice, no arguments without an option;
- click only splits the command line; every value passes `Parameter.check`.

What does not fit ends with exit code 2 before anything runs. All problems with
values are told at once.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import click

from calibook.errors import BadParameter, CalibookError
from calibook.procedures.notebook import Procedure, nearest
from calibook.procedures.parameters import Parameter, plain_number
from calibook.procedures.values import check_values

Run = Callable[..., None]

_METAVARS = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT", "bool": "true|false"}


class ProcedureCommand(click.Command):
    """A command whose help is grouped as the notebook groups its parameters."""

    def __init__(self, procedure: Procedure, run: Run, extra: list[click.Option]):
        self.procedure, self.extra = procedure, extra
        self._refuse_clashes()
        super().__init__(
            procedure.name,
            params=[*options_of(procedure), *extra],
            callback=_callback(procedure, run),
            help=f"{procedure.title}\n\n{procedure.about}".strip(),
            short_help=procedure.title or procedure.name,
            options_metavar=_usage(procedure),
        )

    def _refuse_clashes(self) -> None:
        taken = {name for option in self.extra for name in option.opts + option.secondary_opts} | {"--help"}
        for parameter in self.procedure.user_parameters.values():
            if parameter.option in taken:
                raise CalibookError(
                    f"{self.procedure.path}: the parameter {parameter.name} must get another name, "
                    f"because {parameter.option} is an option of calibook itself"
                )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what click would let pass or explain badly, then parse as usual."""
        if not ctx.resilient_parsing:
            self._look_over(ctx, args)
        return super().parse_args(ctx, args)

    def _look_over(self, ctx: click.Context, args: list[str]) -> None:
        known = [name for param in self.get_params(ctx) for name in param.opts + param.secondary_opts]
        try:
            given, stray, order = self.make_parser(ctx).parse_args(args=list(args))
        except click.NoSuchOption as error:
            # For "-run" click names the first letter alone.
            whole = next((arg for arg in args if arg.startswith(error.option_name)), error.option_name)
            raise click.UsageError(f"{whole!r}: there is no such option{_hint(whole, known)}", ctx) from None
        except click.BadOptionUsage as error:
            raise click.UsageError(self._needs_value(error), ctx) from None
        for parameter in self.procedure.user_parameters.values():
            value = given.get(parameter.name)
            if value in known:
                raise click.UsageError(f"{parameter.option}: {value!r} is an option, not its value", ctx)
        if stray:
            why = "stands alone, but each value follows its option"
            raise click.UsageError(f"{stray[0]!r} {why}{_hint(stray[0], known)}", ctx)
        for param in order:
            if order.count(param) > 1 and not getattr(param, "multiple", False):
                raise click.UsageError(f"{param.opts[0]}: is given {order.count(param)} times", ctx)

    def _needs_value(self, error: click.BadOptionUsage) -> str:
        for parameter in self.procedure.user_parameters.values():
            if parameter.option == error.option_name and "requires" in error.message:
                return f"{parameter.option}: needs a value, {parameter.allowed}"
        return error.message

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Title and first sentence, one blank line between them."""
        for text in filter(None, [self.procedure.title, self.procedure.about]):
            formatter.write_paragraph()
            formatter.write(textwrap.indent(textwrap.fill(text, formatter.width - 2), "  ") + "\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The parameters in the notebook's groups, then the options that every procedure has."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.procedure.user_parameters.values():
            row = (f"{parameter.option} {_metavar(parameter)}", help_of(parameter))
            groups.setdefault(parameter.group or "Parameters", []).append(row)
        own = (param.get_help_record(ctx) for param in [*self.extra, self.get_help_option(ctx)] if param)
        groups.setdefault("How to run it", []).extend(filter(None, own))
        # Padded, so that the second column begins at one place in all groups.
        first = min(30, max(len(option) for rows in groups.values() for option, _ in rows))
        second = formatter.width - first - 4
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(first), _wrapped(text, second)) for name, text in rows], first
                )


def _wrapped(text: str, width: int) -> str:
    """Text in lines, not broken at hyphens: `fixed-medium` is one word to type."""
    lines = textwrap.fill(text, max(width, 20), break_on_hyphens=False, break_long_words=False)
    return f"\b\n{lines}"  # \b tells click to keep the lines as they are


def options_of(procedure: Procedure) -> list[click.Option]:
    """One option for each parameter that a user gives. Values stay text."""
    return [
        click.Option(
            [parameter.option, parameter.name],
            type=click.UNPROCESSED,
            default=None,
            metavar=_metavar(parameter),
            help=help_of(parameter),
        )
        for parameter in procedure.user_parameters.values()
    ]


def procedure_command(procedure: Procedure, run: Run, extra: list[click.Option]) -> click.Command:
    """The command of a procedure.

    run: called with the procedure, its checked values, and the values of `extra` by name
    extra: options that are not the notebook's, e.g. --dry-run
    Raises CalibookError if a parameter has the name of one of them.
    """
    return ProcedureCommand(procedure, run, extra)


def help_of(parameter: Parameter) -> str:
    """Help text of a parameter: meaning, unit, what is allowed, default.

    >>> help_of(Parameter("energy", "float", 9.3, "photon energy", "keV", low=0.0, low_open=True))
    'photon energy [keV]  (> 0; default 9.3)'
    """
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    choices = " | ".join(map(str, parameter.choices))
    facts = [choices or parameter.range]
    if parameter.is_list and len(parameter.default) < 2:
        facts.append(f"like {parameter.example}")
    facts.append("required" if parameter.required else f"default {_default(parameter)}")
    return f"{parameter.meaning}{unit}  ({'; '.join(filter(None, facts))})".strip()


def _default(parameter: Parameter) -> str:
    value = parameter.default
    items = value if parameter.is_list else [value]
    words = [plain_number(item) if isinstance(item, float) else str(item) for item in items]
    text = ",".join(words) or "empty"
    return text.lower() if parameter.type == "bool" else text


def _usage(procedure: Procedure) -> str:
    needed = [p for p in procedure.user_parameters.values() if p.required]
    return " ".join([*(f"{p.option} {_metavar(p)}" for p in needed), "[OPTIONS]"])


def _metavar(parameter: Parameter) -> str:
    return _METAVARS[parameter.item_type] + (",..." if parameter.is_list else "")


def _hint(name: str, known: Iterable[str]) -> str:
    close = nearest(name.partition("=")[0], known)
    return f"; did you mean {close}?" if close else ""


def _callback(procedure: Procedure, run: Run) -> Callable[..., None]:
    def callback(**options: Any) -> None:
        given = {name: options.pop(name) for name in procedure.user_parameters}
        try:
            values = check_values(procedure, {k: v for k, v in given.items() if v is not None})
        except BadParameter as error:
            raise click.UsageError(str(error), click.get_current_context()) from None
        run(procedure, values, **options)

    return callback
