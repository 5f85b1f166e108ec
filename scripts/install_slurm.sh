#!/usr/bin/env bash
# SLURM for the tests on a cluster of one machine.
exec "$(dirname "$0")/install_for_tests.sh" SLURM slurm \
    "slurmctld slurmd sbatch squeue scancel scontrol munged" "slurm-wlm munge"
