"""Tasks on a SLURM cluster: submitted once, watched from records, tried again by cause."""
