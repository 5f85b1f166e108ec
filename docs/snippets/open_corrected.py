from extra_data import RunDirectory
from extra_data.components import JUNGFRAU

run = RunDirectory("PROC")
detector = JUNGFRAU(run)
energy = detector.get_array("data.adc")  # keV: module, train, cell, slow_scan, fast_scan
stage = detector.get_array("data.gain")  # 0, 1, 2 for G0, G1, G2
mask = detector.get_array("data.mask")  # 0 is good, else bits
good = energy.where(mask == 0)  # NaN where a pixel is bad
