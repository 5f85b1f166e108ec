#!/usr/bin/env bash
# TeX for the tests of the LaTeX reports: installed where that is possible (Debian, root or sudo).
set -u
packages="latexmk texlive-latex-recommended texlive-latex-extra texlive-luatex"
command -v lualatex >/dev/null && command -v latexmk >/dev/null && exit 0

sudo=""
[ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && sudo="sudo -n"; }
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$sudo" ]; }; then
    echo "Installing TeX for the tests: $packages"
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
if command -v lualatex >/dev/null && command -v latexmk >/dev/null; then exit 0; fi

echo "TeX is missing and can't be installed here: lualatex, latexmk (Debian packages: $packages)."
if [ -n "${CI:-}" ]; then
    echo "In CI nothing may be skipped."
    exit 1
fi
echo "The tests marked 'latex' will be skipped."
