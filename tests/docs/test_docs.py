"""The documentation builds without a warning and without network, and its examples work."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np
import pytest
from correcting import correct, corrected_arrays
from raw_runs import KARABO_ID, MadeFile, make_file

from calibook.calibration.metadata import write_correction_metadata
from calibook.constants import Condition, Store
from calibook.detectors.bad_pixels import BadPixels
from calibook.detectors.jungfrau import JUNGFRAU
from calibook.jobs.state import STATES
from calibook.procedures.notebook import find_procedures
from calibook.procedures.tasks import Plan, Task
from calibook.runs.names import corrected_name, parse_file_name

DOCS = Path(__file__).parents[2] / "docs"
UNIT = "FXE_XAD_JF1M_JNGFR01"
CONDITIONS = {
    "Sensor Bias Voltage": 180,
    "Memory Cells": 1,
    "Pixels X": 1024,
    "Pixels Y": 512,
    "Integration Time": 10,
    "Sensor temperature": 291,
    "Gain Setting": 0,
}
NO_NETWORK = """
import socket

def refuse(self, address):
    raise OSError(f"the documentation is built without network, but {address} was asked for")

class Socket(socket.socket):
    connect = connect_ex = refuse

socket.socket = Socket
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    """The documentation, built anew with warnings as errors in a process that has no network."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    options = ["-W", "--keep-going", "-E", "-q", "-b", "html", "-d", str(folder / "doctrees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder / "html")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "html"


def text_of(page: Path) -> str:
    """Text of a page, without markup."""
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_every_procedure_has_a_page_with_all_its_parameters(html):
    procedures = find_procedures()
    assert procedures
    listed = text_of(html / "procedures.html")
    for procedure in procedures:
        page = html / f"_generated/procedures/{procedure.detector}-{procedure.name}.html"
        table = page.read_text(encoding="utf-8").split('<section id="Parameters">')[1].split("<section")[0]
        assert procedure.title in listed
        for parameter in procedure.user_parameters.values():
            assert f">{parameter.name}<" in table


@pytest.mark.slow
def test_tables_follow_the_code(html):
    jungfrau, states = text_of(html / "jungfrau.html"), text_of(html / "how_it_works.html")
    for bit in BadPixels:
        assert f"0x{bit:X}" in jungfrau and bit.name in jungfrau
    for state in STATES:
        assert state in states
    assert "truth_photon_bias_g2" in text_of(html / "figures.html")
    assert "calibook.kernels.gain_switching" in text_of(html / "_generated/api/kernels.html")


@pytest.mark.slow
def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(html):
    loads = re.compile(r'<(?:script|img|link|source|iframe)\b[^>]*?\b(?:src|href)="([^"]+)"')
    for page in html.rglob("*.html"):
        content = page.read_text(encoding="utf-8")
        for target in loads.findall(content):
            assert "//" not in target, f"{page.name} loads {target}"
        for target in re.findall(r'href="([^"]+)"', content):
            name, _, anchor = unquote(target).partition("#")
            name = name.partition("?")[0]
            if "//" in target or name.startswith("mailto:"):
                continue
            found = (page.parent / name) if name else page
            assert found.exists(), f"{page.name} links to {target}"
            if anchor and found.suffix == ".html":
                assert f'id="{anchor}"' in found.read_text(encoding="utf-8"), f"{page.name}: {target}"
    for sheet in html.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> tuple[Path, MadeFile]:
    """A folder with a corrected run `PROC` and a store `STORE`, as the examples have them."""
    folder = tmp_path_factory.mktemp("example")
    made = make_file(folder / "raw", JUNGFRAU, trains=2, frames=1)
    correct(made, folder / "PROC" / str(corrected_name(parse_file_name(made.path))))
    constant = Store(folder / "STORE").put(
        np.arange(3 * 512 * 1024, dtype="f8").reshape(1024, 512, 1, 3),
        calibration="Offset10Hz",
        pdu=UNIT,
        detector_type=JUNGFRAU.detector_type,
        conditions=[Condition(name, value) for name, value in CONDITIONS.items()],
        begin="2025-01-01T00:10",
        dims=JUNGFRAU.constants["Offset10Hz"].dims,
    )
    task = Task("JNGFR01-S00000", about={"karabo_id": KARABO_ID})
    plan = Plan([task], constants=[{**constant.to_dict(), "karabo_da": "JNGFR01"}])
    write_correction_metadata(plan, {}, folder / "PROC", title="example")
    return folder, made


def run_example(name: str, folder: Path, monkeypatch) -> dict:
    """The variables that an example leaves."""
    monkeypatch.chdir(folder)
    found: dict = {}
    exec((DOCS / "snippets" / name).read_text(encoding="utf-8"), found)
    return found


def test_the_example_opens_a_corrected_run(example, monkeypatch):
    folder, made = example
    found = run_example("open_corrected.py", folder, monkeypatch)
    data, stage, mask = corrected_arrays(made.adc, made.gain)
    np.testing.assert_array_equal(found["good"][0], np.where(mask == 0, data, np.nan))
    np.testing.assert_array_equal(found["stage"][0], stage)
    assert found["energy"].dims == ("module", "train", "cell", "slow_scan", "fast_scan")


def test_the_example_keeps_pixels_with_informational_bits(tmp_path, monkeypatch):
    made = make_file(tmp_path / "raw", JUNGFRAU, trains=2, frames=1)
    path = tmp_path / "PROC" / str(corrected_name(parse_file_name(made.path)))
    correct(made, path)
    bad = corrected_arrays(made.adc, made.gain)[2] != 0
    with h5py.File(path, "r+") as f:
        mask = f[f"INSTRUMENT/{KARABO_ID}/CORR/JNGFR01:daqOutput/data/mask"]
        mask[...] = mask[()] | np.uint32(BadPixels.NON_STANDARD_SIZE)
    good = run_example("single_bits.py", tmp_path, monkeypatch)["good"][0]
    np.testing.assert_array_equal(np.isnan(good), bad)


def test_the_examples_find_constants(example, monkeypatch):
    folder, _ = example
    of_run = run_example("constants_of_run.py", folder, monkeypatch)["offset"]
    of_store = run_example("store.py", folder, monkeypatch)["offset"]
    assert of_store.shape == (1, 3, 512, 1024)
    assert of_run.dims[0] == "module" and of_run["module"].values.tolist() == ["JNGFR01"]
    np.testing.assert_array_equal(of_run[0].transpose("cell", "gain", "slow_scan", "fast_scan"), of_store)
