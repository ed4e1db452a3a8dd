"""BERT on an NVIDIA GPU: packed tokens end to end, Triton's kernels, fp16, bf16, fp8 and int8 (docs/guide/gpu.md).

What needs a GPU to run at all is kept in few thin files (device.py, stream.py, graphs.py); everything else also runs on
the CPU, in PyTorch twins or in Triton's interpreter, and is tested there.
"""
