"""int8 models: calibration, learned ranges, and the engines that are built from them and kept."""
