"""BERT on an NVIDIA GPU: packed tokens, Triton kernels, fp16, bf16, fp8 and int8 (docs/design/gpu-engine.md).

Only device.py and the CUDA part of runtime.py need a GPU; everything else also runs on the CPU, with PyTorch twins or
in Triton's interpreter, and is tested there.
"""
