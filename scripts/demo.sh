#!/usr/bin/env bash
# demo.sh BIN FOLDER: a JUNGFRAU run with known truth, from photons to the report.
# Every step is a command that works the same on one's own data.
set -euo pipefail
bin=$1 demo=$2
raw=$demo/raw proc=$demo/proc/r0004 darks=$demo/darks
export CALIBOOK_STORE=$demo/constants
export PATH=$bin:$PATH

step() { printf '\n\033[1m== %s\033[0m\n' "$1"; }
show() { printf '   $ %s\n' "$*"; "$@"; }

if [ -e "$demo" ] && [ ! -e "$demo/.calibook-demo" ]; then
    echo "$demo is there and was not made by the demo; choose another folder: make demo DEMO=FOLDER"
    exit 1
fi
rm -rf "$demo"
mkdir -p "$demo"
touch "$demo/.calibook-demo"

# Two runs at a time; what they print is kept beside them.
simulate() {
    local run=$1
    shift
    local command=(calibook simulate jungfrau --out-folder "$raw" --modules 2 --seed 1 --run "$run" "$@")
    printf '   $ %s\n' "${command[*]}"
    "${command[@]}" --no-report >"$demo/simulate-r$run.log" 2>&1 || { cat "$demo/simulate-r$run.log"; return 1; }
}
both() { for job in $(jobs -p); do wait "$job"; done; }

step "1/4  Simulate: three dark runs, one for each gain stage, and a lit run"
simulate 4 --trains 24 --scene rings &
simulate 1 --trains 50 --scene dark --gain-mode dynamic &
both
simulate 2 --trains 50 --scene dark --gain-mode forceswitchg1 &
simulate 3 --trains 50 --scene dark --gain-mode forceswitchg2 &
both

step "2/4  Constants: offset, noise, bad pixels from the darks; the gain as its maker measured it"
show calibook jungfrau dark --in-folder "$raw" --run-high 1 --run-medium 2 --run-low 3 --out-folder "$darks"
for module in 01 02; do
    show calibook constants put "$raw/truth/R0004-JNGFR$module.h5" --dataset detector/gain \
        --dims cell,gain,slow_scan,fast_scan --calibration RelativeGain10Hz \
        --detector FXE_XAD_JF1M --module-da "JNGFR$module" --in-folder "$raw" --run 1
done

step "3/4  Correct the lit run, compare with the truth, build the report"
show calibook jungfrau correct --in-folder "$raw" --run 4 --out-folder "$proc"

step "4/4  Make one corrected file again from its record"
record=$(find "$proc" -maxdepth 1 -name 'CORR-*.record.json' | sort | head -n 1)
show calibook reproduce "$record"

work=$(find "$proc/calibook" -mindepth 1 -maxdepth 1 -type d | head -n 1)
dark_work=$(find "$darks/calibook" -mindepth 1 -maxdepth 1 -type d | head -n 1)

step "Against the truth"
"$bin/python" - "$dark_work/verdict.json" "$work/verdict.json" <<'PYTHON'
import json, sys

for path in sys.argv[1:]:
    for name, figure in json.load(open(path))["figures"].items():
        if name.startswith("truth_"):
            print(f"   {name:28} {figure['value']:12.3g} {figure['unit']:4} {figure['status']:5} {figure['meaning']}")
PYTHON

cat <<TEXT

The demo is done. Look at:
  report          $work/report.pdf
  as HTML         $work/html/index.html
  verdict         $work/verdict.json
  corrected run   $proc
  dark report     $dark_work/report.pdf
  constants       $CALIBOOK_STORE   (calibook constants list --store $CALIBOOK_STORE)

With your own data, RAW being the folder that holds r0001/, r0002/, ...:
  source $(dirname "$bin")/bin/activate
  calibook jungfrau dark    --in-folder RAW --run-high 1 --run-medium 2 --run-low 3 --out-folder DARKS
  calibook jungfrau correct --in-folder RAW --run 4 --out-folder PROC
  calibook jungfrau correct --help
TEXT
