#!/usr/bin/env bash
# install.sh PYTHON LOCK: the locked wheels, then calibook itself, editable.
# The lock names every package, so nothing needs to be resolved (--no-deps).
set -euo pipefail
python=$1 lock=$2
echo "Installing $(grep -c '==' "$lock") locked packages into $(dirname "$(dirname "$python")") ..."
"$python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps -r "$lock"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
# As wheels are: where Python is told to write no byte code, every process would else compile all of calibook.
"$python" -m compileall -q src
