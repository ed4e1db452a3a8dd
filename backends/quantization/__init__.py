"""int8 models: calibration, ranges from quantization-aware training, and the engines built from them on disk."""
