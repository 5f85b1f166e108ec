"""What a task imports before its notebook starts."""

import ast
import importlib
import subprocess
import sys

import pytest

from calibook.procedures.lean import pretended_missing, stand_ins
from calibook.procedures.notebook import find_procedures, read_cells


def test_a_task_does_not_load_what_it_never_uses():
    code = "import sys, calibook.jobs.task, calibook.procedures.execute; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "papermill.clientwrap" in loaded
    assert not loaded & {"pyarrow", "boto3", "requests", "numba", "pandas", "matplotlib", "numpy", "h5py"}


def test_plans_load_no_kernels():
    imports = [
        ast.unparse(statement)
        for procedure in find_procedures()
        for cell in read_cells(procedure.path)
        if "plan" in cell.get("metadata", {}).get("tags", [])
        for statement in ast.parse(cell["source"]).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    assert any("plan_correction" in line for line in imports)
    code = "\n".join(["import sys", "import calibook.jobs.request", *imports, "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "calibook.calibration.planning.corrections" in loaded
    assert not loaded & {"numba", "pandas", "matplotlib"}


def test_packages_are_missing_for_a_moment_only():
    loaded = sys.modules["json"]
    sys.modules.pop("colorsys", None)
    with pretended_missing("colorsys", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
        assert importlib.import_module("json") is loaded  # was there before: stays
    assert importlib.import_module("colorsys").rgb_to_hsv


def test_others_stand_in_for_a_moment_only():
    sys.modules.pop("colorsys", None)
    with stand_ins({"colorsys": sys}):
        assert importlib.import_module("colorsys") is sys
    assert importlib.import_module("colorsys").rgb_to_hsv
