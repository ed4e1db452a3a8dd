"""The matrix product of Hopper GPUs (compute capability 9.0), in CUDA C++: one more GEMM variant for gemm_tuning.

gemm.cu is the kernel, source.py its constants, nvrtc.py compiles it when a model is loaded, driver.py launches it, and
gemm.py offers it for a product. It is written for what Triton's tiles cannot do there: pairs of CTAs that share an
operand, asynchronous int8 products, and an epilogue that runs next to the products of another tile.
"""
