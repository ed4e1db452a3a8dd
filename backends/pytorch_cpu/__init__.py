"""PyTorch on CPUs with packed tokens: fp32, bf16 and int8, with native kernels."""
