"""BERT on an NVIDIA GPU: packed tokens, Triton kernels, fp16, bf16, fp8 and int8 (docs/design/gpu-engine.md).

Only a few thin files need a GPU (device.py, pipeline.py, cuda_graphs.py); everything else also runs on the CPU, with
PyTorch twins or in Triton's interpreter, and is tested there.
"""
