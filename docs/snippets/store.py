from calibook.constants import Store, as_used

store = Store("STORE")
constant = store.find(
    pdu="FXE_XAD_JF1M_JNGFR01",
    calibration="Offset10Hz",
    conditions={
        "Sensor Bias Voltage": 180,
        "Memory Cells": 1,
        "Pixels X": 1024,
        "Pixels Y": 512,
        "Integration Time": 10,
        "Sensor temperature": 291,
        "Gain Setting": 0,
    },
    at="2025-01-01T00:40",
)
offset = as_used(store.load(constant), constant.dims)  # cell, gain, slow_scan, fast_scan
