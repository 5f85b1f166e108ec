"""The few calls that a notebook makes: plan, characterise, correct, summarise.

Stands on runs, constants, kernels and detectors, and joins them.
"""
