#!/usr/bin/env bash
# TeX for the tests of the LaTeX reports.
exec "$(dirname "$0")/install_for_tests.sh" TeX latex \
    "lualatex latexmk" "latexmk texlive-latex-recommended texlive-latex-extra texlive-luatex"
