"""How fast calibook is, as ratios measured in one run: `python -m benchmarks`.

Machines are shared and noisy, so nothing here is an absolute speed: ours and
what it is compared with take turns, and the ratio of each turn is kept. A
ratio above 1 means that ours is faster. Before anything is timed, the results
of both are compared.
"""
