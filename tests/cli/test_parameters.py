"""A procedure's command: what it takes, and that what does not fit ends before anything runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import nbformat
import pytest
from click.testing import CliRunner, Result

from calibook.cli.parameters import options_of, procedure_command
from calibook.errors import CalibookError
from calibook.procedures.notebook import Procedure, read_procedure

CELL = """# Where the data is
in_folder: str = ""             # folder of the raw run files; required
run: int = 0                    # run number; required; >= 1
modules: list[int] = [-1]       # modules to correct, -1 for all; -1..8
# Correction
photon_energy: float = 9.3      # photon energy [keV]; > 0
cm_fraction: float = 0.15       # share of dark pixels an ASIC needs for common mode; 0..1
cm_range: float = -5.0          # lower end of the common mode range [keV]
gain_mode: str = "adaptive"     # gain mode of the run; adaptive | fixed-high | fixed-medium
masks: list[str] = []           # bad pixels that become NaN; OFFSET | NOISE
strixel: bool = False           # sensor with strixels
note: str = ""                  # a remark for the record
plan_file: str = ""             # plan of this run, empty by hand
task: str = ""                  # task of the plan, empty by hand"""


def write_procedure(path: Path, cell: str = CELL) -> Procedure:
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell("# Correct a run\n\nFrom raw words to photons. And so on."),
        v4.new_code_cell(cell, metadata={"tags": ["parameters"]}),
    ]
    nbformat.write(v4.new_notebook(cells=cells), path)
    return read_procedure(path)


@pytest.fixture
def calls() -> list[tuple[dict, dict]]:
    """What the command ran: values and further options."""
    return []


@pytest.fixture
def command(tmp_path, calls) -> click.Command:
    extra = [
        click.Option(["--dry-run"], is_flag=True, help="Show what would be done."),
        click.Option(["--report/--no-report"], default=True, help="Build the report."),
        click.Option(["--workers"], type=click.IntRange(min=1), help="Tasks at a time."),
    ]

    def run(procedure: Procedure, values: dict, **options) -> None:
        calls.append((values, options))

    return procedure_command(write_procedure(tmp_path / "correct.ipynb"), run, extra)


@pytest.fixture
def invoke(command, tmp_path, monkeypatch) -> Callable[..., Result]:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *args: CliRunner().invoke(command, args, prog_name="correct")


GOOD = ("--in-folder", "raw", "--run", "4")


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (("--modules", "-1"), "modules", [-1]),
        (("--modules=1-3|5,7",), "modules", [1, 2, 3, 5, 7]),
        (("--cm-range=-30",), "cm_range", -30.0),
        (("--cm-range", "-30"), "cm_range", -30.0),
        (("--cm-range", "-1e-3"), "cm_range", -0.001),
        (("--photon-energy", "12"), "photon_energy", 12.0),
        (("--strixel", "true"), "strixel", True),
        (("--masks", "OFFSET|NOISE"), "masks", ["OFFSET", "NOISE"]),
        (("--masks", ""), "masks", []),
        (("--gain-mode", "fixed-high"), "gain_mode", "fixed-high"),
        (("--note", "a 'b' \"c\" {d} {{e}} %s"), "note", "a 'b' \"c\" {d} {{e}} %s"),
        (
            ("--note", "__import__('os').system('touch evil')"),
            "note",
            "__import__('os').system('touch evil')",
        ),
        (("--note", "$(touch evil)`touch evil`"), "note", "$(touch evil)`touch evil`"),
        (("--note", "../../x"), "note", "../../x"),
        (("--note=--strange",), "note", "--strange"),
        (("--note", "-x"), "note", "-x"),
        (("--note=",), "note", ""),
        (("--note", "a=b=c"), "note", "a=b=c"),
    ],
)
def test_good_values_arrive_typed(invoke, calls, args, name, value):
    result = invoke(*GOOD, *args)
    assert (result.exit_code, result.output) == (0, "")
    ((values, _),) = calls
    assert values[name] == value
    assert type(values[name]) is type(value)
    assert (values["in_folder"], values["run"]) == ("raw", 4)
    assert list(Path().iterdir()) == []


def test_defaults_and_further_options(invoke, calls):
    assert invoke("--dry-run", *GOOD, "--workers", "2", "--no-report").exit_code == 0
    ((values, options),) = calls
    assert options == {"dry_run": True, "workers": 2, "report": False}
    assert values["photon_energy"] == 9.3
    assert "plan_file" not in values


MALFORMED = [
    # unknown, misspelt, abbreviated
    (("--rnu", "4"), ["--rnu", "did you mean --run?"]),
    (("--modlues", "1"), ["--modlues", "did you mean --modules?"]),
    (("--photon_energy", "9"), ["--photon_energy", "did you mean --photon-energy?"]),
    (("--Strixel", "true"), ["--Strixel", "did you mean --strixel?"]),
    (("--photon", "9"), ["--photon", "no such option", "did you mean --photon-energy?"]),
    (("--dry-rnu",), ["--dry-rnu", "did you mean --dry-run?"]),
    (("--rnu=4",), ["--rnu", "did you mean --run?"]),
    (("--xyz", "4"), ["--xyz", "no such option"]),
    (("-modules", "4"), ["-modules", "did you mean --modules?"]),
    (("-x",), ["-x", "no such option"]),
    (("--no-strixel",), ["--no-strixel", "did you mean --strixel?"]),
    (("--plan-file", "x"), ["--plan-file", "no such option"]),
    (("--task", "x"), ["--task", "no such option"]),
    # stray
    (("5",), ["'5'", "stands alone"]),
    (("modules=5",), ["'modules=5'", "did you mean --modules?"]),
    (("--modules", "1", "2"), ["'2'", "stands alone"]),
    (("--", "--modules", "1"), ["'--modules'", "stands alone"]),
    (("",), ["''", "stands alone"]),
    # given twice
    (("--modules", "1", "--modules", "2"), ["--modules", "2 times"]),
    (("--run", "4"), ["--run", "2 times"]),
    (("--dry-run", "--dry-run"), ["--dry-run", "2 times"]),
    (("--report", "--no-report"), ["--report", "2 times"]),
    # no value
    (("--modules",), ["--modules", "needs a value", "whole numbers", "-1..8"]),
    (("--strixel",), ["--strixel", "needs a value, true or false"]),
    (("--note", "--strixel"), ["--note", "'--strixel' is an option"]),
    (("--dry-run=yes",), ["--dry-run", "does not take a value"]),
    # wrong type
    (("--modules", "1.5"), ["--modules", "'1.5'", "whole numbers"]),
    (("--modules", "one"), ["--modules", "'one'", "whole numbers"]),
    (("--modules", "1,,2"), ["--modules", "empty item"]),
    (("--modules", "4-1"), ["--modules", "backwards"]),
    (("--modules", "0-99999999999"), ["--modules", "more than"]),
    (("--modules", "[1, 2]"), ["--modules", "'[1, 2]'"]),
    (("--photon-energy", "nine"), ["--photon-energy", "'nine'", "a number > 0"]),
    (("--photon-energy", "nan"), ["--photon-energy", "'nan'"]),
    (("--photon-energy", "inf"), ["--photon-energy", "'inf'"]),
    (("--photon-energy", "1e999"), ["--photon-energy", "finite"]),
    (("--photon-energy", "9,3"), ["--photon-energy", "'9,3'"]),
    (("--photon-energy", "9.3 keV"), ["--photon-energy", "'9.3 keV'"]),
    (("--photon-energy", "__import__('os').system('touch evil')"), ["--photon-energy", "__import__"]),
    (("--photon-energy", "$(touch evil)"), ["--photon-energy", "$(touch evil)"]),
    (("--modules", "{range(3)}"), ["--modules", "{range(3)}"]),
    (("--modules", "../1"), ["--modules", "'../1'"]),
    (("--modules", "1\n2"), ["--modules", "1\\n2"]),
    (("--strixel", "yes"), ["--strixel", "'yes'", "true or false"]),
    (("--strixel", "True"), ["--strixel", "'True'", "true or false"]),
    (("--strixel", "1"), ["--strixel", "'1'", "true or false"]),
    (("--workers", "two"), ["--workers", "'two'", "integer"]),
    # out of range, unknown word
    (("--modules", "9"), ["--modules", "'9'", "-1..8"]),
    (("--modules", "1,-2"), ["--modules", "-1..8"]),
    (("--photon-energy", "0"), ["--photon-energy", "'0'", "> 0"]),
    (("--cm-fraction", "1.01"), ["--cm-fraction", "'1.01'", "0..1"]),
    (("--cm-fraction=-0.1",), ["--cm-fraction", "'-0.1'", "0..1"]),
    (("--gain-mode", "adaptiv"), ["--gain-mode", "fixed-medium", "did you mean adaptive?"]),
    (("--gain-mode", ""), ["--gain-mode", "one of adaptive"]),
    (("--gain-mode", "adaptive; ls"), ["--gain-mode", "one of adaptive"]),
    (("--masks", "OFFSET|NOSIE"), ["--masks", "one of OFFSET | NOISE"]),
    (("--workers", "0"), ["--workers", "0"]),
    # text that can't be printed
    (("--note", "a\nimport os"), ["--note", "a\\nimport os", "line break"]),
    (("--note", "a\rb"), ["--note", "line break"]),
    (("--note", "\x1b[31m"), ["--note", "x1b"]),
    (("--note", "bad\udcffbyte"), ["--note", "udcff"]),
]


@pytest.mark.parametrize(("args", "words"), MALFORMED)
def test_malformed_commands(invoke, calls, args, words):
    result = invoke(*GOOD, *args)
    assert result.exit_code == 2, result.output
    message = result.output.split("Error: ", 1)[1]
    for word in words:
        assert word in message
    assert calls == []
    assert list(Path().iterdir()) == []
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), ["--in-folder: is required (folder of the raw run files", "--run: is required (run number"]),
        (("--run", "4"), ["--in-folder: is required"]),
        (("--in-folder", "", "--run", "4"), ["--in-folder: '' must not be empty"]),
        (("--in-folder", "--run", "4"), ["--in-folder: '--run' is an option"]),
        (("--in-folder", "x", "--run", "1e3"), ["--run: '1e3' is not a whole number >= 1"]),
        (("--in-folder", "x", "--run", "0x1"), ["--run: '0x1'"]),
        (("--in-folder", "x", "--run", "0"), ["--run: '0'", ">= 1"]),
        (("--in-folder", "x", "--run", "-4"), ["--run: '-4'", ">= 1"]),
        (("--in-folder", "x", "--run", "9" * 30), ["--run: ", "a whole number"]),
        (
            ("--in-folder", "x\ny", "--run", "q", "--modules", "9"),
            ["--in-folder: ", "--run: 'q'", "--modules: '9'"],
        ),
    ],
)
def test_missing_and_several_problems_are_told_at_once(invoke, calls, args, words):
    result = invoke(*args)
    assert result.exit_code == 2
    for word in words:
        assert word in result.output
    assert calls == []


def test_help_is_complete_grouped_and_fits_80_columns(command):
    text = CliRunner().invoke(command, ["--help"], prog_name="correct", terminal_width=80).output
    lines = text.split("\n")
    assert max(map(len, lines)) <= 80
    assert "Usage: correct --in-folder TEXT --run INTEGER [OPTIONS]" in text
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Where the data is:", "Correction:", "How to run it:"]
    flat = " ".join(text.split())
    for words in (
        "Correct a run From raw words to photons.",
        "--run INTEGER run number (>= 1; required)",
        "--modules INTEGER,... modules to correct, -1 for all (-1..8; like 0,2,4-7; default -1)",
        "--photon-energy NUMBER photon energy [keV] (> 0; default 9.3)",
        "--gain-mode TEXT gain mode of the run (adaptive | fixed-high | fixed-medium; default adaptive)",
        "--masks TEXT,... bad pixels that become NaN (OFFSET | NOISE; like a,b; default empty)",
        "--strixel true|false sensor with strixels (default false)",
        "--note TEXT a remark for the record (default empty)",
        "--dry-run Show what would be done.",
    ):
        assert words in flat
    assert "plan" not in text
    columns = {
        line.index(word)
        for line in lines
        for word in ("run number", "photon energy [", "Tasks")
        if word in line
    }
    assert len(columns) == 1


def test_options_are_the_user_parameters(tmp_path):
    options = options_of(write_procedure(tmp_path / "correct.ipynb"))
    assert [option.name for option in options][:3] == ["in_folder", "run", "modules"]
    assert len(options) == 10


@pytest.mark.parametrize("name", ["workers", "help"])
def test_a_parameter_with_the_name_of_an_option_is_refused(tmp_path, name):
    procedure = write_procedure(tmp_path / "x.ipynb", f"{name}: int = 1  # count")
    with pytest.raises(CalibookError, match=f"parameter {name} must get another name"):
        procedure_command(procedure, print, [click.Option(["--workers"])])


def test_import_is_light():
    """Help and mistakes are answered at once: nothing slow is imported for them."""
    slow = (
        "{'numpy', 'numba', 'h5py', 'papermill', 'nbformat', 'nbclient', 'IPython', 'matplotlib', 'pandas'}"
    )
    code = f"import sys, calibook.cli.parameters; print({slow} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
