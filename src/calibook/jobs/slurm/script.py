"""The scripts that sbatch takes, from templates. Every value is quoted for the shell."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from calibook.errors import BadParameter
from calibook.jobs.settings import SlurmSettings

TEMPLATE = "job.sh.jinja"


class _Shell(str):
    """Text that is shell code and goes into a script as it is."""


def job_script(command: Sequence[str], settings: SlurmSettings) -> str:
    """The script of a job that runs `command`.

    Raises
    ------
    BadParameter: the facility's template is not there or is wrong
    """
    import jinja2

    own = Path(settings.template) if settings.template else None
    folders = [str(own.parent)] if own else []
    folders.append(str(package_files("calibook") / "slurm"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        finalize=_quoted,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["shell"] = _Shell
    try:
        return environment.get_template(own.name if own else TEMPLATE).render(
            command=list(command),
            venv=sys.prefix if sys.prefix != sys.base_prefix else "",
            setup=settings.setup,
            scratch=settings.scratch,
        )
    except (jinja2.TemplateError, OSError) as error:
        raise BadParameter(f"slurm.template: {own}: {type(error).__name__}: {error}") from error


def _quoted(value: Any) -> str:
    if isinstance(value, _Shell):
        return value
    return shlex.join(value) if isinstance(value, list | tuple) else shlex.quote(str(value))
