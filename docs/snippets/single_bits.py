from extra_data import RunDirectory
from extra_data.components import JUNGFRAU

from calibook.detectors.bad_pixels import INFORMATIONAL

# Pixels between chips are only wider: keep them.
detector = JUNGFRAU(RunDirectory("PROC"))
energy = detector.get_array("data.adc")
mask = detector.get_array("data.mask", fill_value=0xFFFFFFFF)
good = energy.where((mask & ~int(INFORMATIONAL) & 0xFFFFFFFF) == 0)
