#!/usr/bin/env bash
# install.sh PYTHON LOCK: the locked wheels, then calibook itself, editable.
set -euo pipefail
python=$1 lock=$2
echo "Installing $(grep -c '==' "$lock") locked packages into $(dirname "$(dirname "$python")") ..."
"$python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$lock"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
