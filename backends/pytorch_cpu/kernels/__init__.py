"""What lies between the matrix products of a packed BERT: embedding, residual + LayerNorm, attention.

Each takes packed tokens, and writes what it hands on in the form that the next matrix product wants: float, bfloat16
or quantized bytes. `native.py` has them in C++, `plain.py` in PyTorch; a test compares the two.
"""

from __future__ import annotations

from backends.pytorch_cpu.kernels.base import Activation, Form, Kernels, Norm, Tables


def best(hidden_size: int, head_size: int) -> Kernels:
    """The fastest kernels that this machine runs and that fit these widths."""
    from backends.pytorch_cpu.kernels import native, reference

    return native.find(hidden_size, head_size) or reference.PlainKernels()


__all__ = ["Activation", "Form", "Kernels", "Norm", "Tables", "best"]
