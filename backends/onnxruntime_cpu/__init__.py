"""ONNX Runtime on CPUs: fp32, int8 and dynamic int8."""
