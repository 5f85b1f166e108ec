"""PDF by LuaLaTeX, for those who want TeX's look: `engine="latex"`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from calibook.errors import CalibookError

PACKAGES = "latexmk texlive-latex-recommended texlive-latex-extra texlive-luatex"
TIMEOUT = 3600  # seconds


def check_tools() -> None:
    """Raise CalibookError, with the Debian packages to install, if LuaLaTeX is not here."""
    missing = [tool for tool in ("lualatex", "latexmk") if shutil.which(tool) is None]
    if missing:
        raise CalibookError(
            f"engine latex needs {' and '.join(missing)}, not found on PATH. On Debian: "
            f"apt-get install --no-install-recommends {PACKAGES}. Or use engine typst, which needs nothing."
        )


def compile_tex(folder: Path) -> tuple[Path | None, str]:
    """Compile `report.tex` in a folder Sphinx wrote; returns the PDF (None if there is none) and the log.

    TeX's exit code says little: it is bad after a single formula with an
    unknown macro. A PDF that TeX finished ("Output written") is good.
    """
    command = ["latexmk", "-lualatex", "-f", "-interaction=nonstopmode", "report.tex"]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "1000"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT
    )
    pdf, log = folder / "report.pdf", folder / "report.log"
    text = (
        log.read_text(encoding="utf-8", errors="replace")
        if log.exists()
        else done.stderr.decode(errors="replace")
    )
    finished = re.search(r"Output written on report\.pdf \((\d+) pages?", text)
    return (pdf if finished and pdf.exists() else None), text


def problems(log: str) -> list[str]:
    """TeX's errors, and what hurts on the page: missing characters, text over the margin."""
    found = re.findall(r"^! .*", log, re.MULTILINE)
    found += sorted(set(re.findall(r"^Missing character: .*", log, re.MULTILINE)))
    boxes = re.findall(r"^Overfull \\hbox \((\d+\.\d+)pt too wide\).*", log, re.MULTILINE)
    wide = [float(points) for points in boxes if float(points) > 5]
    if wide:
        found.append(f"{len(wide)} lines run over the margin, by up to {max(wide):.0f} pt")
    return [f"lualatex: {line}" for line in found]
