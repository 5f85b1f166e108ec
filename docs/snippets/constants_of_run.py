from extra.calibration import CalibrationData

constants = CalibrationData.from_correction("PROC", use_calcat=False)
offset = constants["Offset10Hz"].xarray(module_naming="aggregator", caldb_root="/")
