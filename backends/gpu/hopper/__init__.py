"""Kernels for Hopper GPUs (compute capability 9.0), in CUDA C++: matrix products, variants for gemm_tuning; attention.

gemm.cu is the kernel, source.py its constants, nvrtc.py compiles it when a model is loaded, driver.py launches it, and
gemm.py offers it for a product. It is written for what Triton's tiles cannot do there: pairs of CTAs that share an
operand, asynchronous int8 products, and an epilogue that runs next to the products of another tile.
attention.cu, attention_source.py and attention.py are the same for attention: copies of the next heads, products and
softmaxes run at the same time. instructions.cu has what CUDA C++ has no words for, for all kernels.
"""
