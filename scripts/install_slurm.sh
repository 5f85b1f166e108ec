#!/usr/bin/env bash
# SLURM for the tests on a cluster of one machine: installed where that is possible (Debian, root or sudo).
set -u
packages="slurm-wlm munge"
PATH=$PATH:/usr/sbin:/sbin
missing() {
    for command in slurmctld slurmd sbatch squeue scancel scontrol munged; do
        command -v "$command" >/dev/null || printf '%s ' "$command"
    done
}
[ -z "$(missing)" ] && exit 0

sudo=""
[ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && sudo="sudo -n"; }
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$sudo" ]; }; then
    echo "Installing SLURM for the tests: $packages"
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
[ -z "$(missing)" ] && exit 0

echo "SLURM is missing and can't be installed here: $(missing)(Debian packages: $packages)."
if [ -n "${CI:-}" ]; then
    echo "In CI nothing may be skipped."
    exit 1
fi
echo "The tests marked 'slurm' will be skipped."
