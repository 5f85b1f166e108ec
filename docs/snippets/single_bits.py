from extra_data import RunDirectory
from extra_data.components import JUNGFRAU

from calibook.detectors.bad_pixels import INFORMATIONAL

detector = JUNGFRAU(RunDirectory("PROC"))
energy = detector.get_array("data.adc")
bad = detector.get_array("data.mask") & (0xFFFFFFFF ^ int(INFORMATIONAL))
good = energy.where(bad == 0)  # wider pixels are kept
