"""What lies between the matrix products of a packed BERT: embedding, residual + LayerNorm, attention.

Each takes packed tokens, and writes what it hands on in the form that the next matrix product wants: float, bfloat16
or quantized bytes. `native.py` has them in C++, `plain.py` in PyTorch; a test compares the two.
"""

from __future__ import annotations

from backends.kernels.base import Activation, Form, Kernels, Norm, Tables


def best(hidden_size: int, head_size: int) -> Kernels:
    """The fastest kernels that this machine runs and that fit these widths."""
    from backends.kernels import native, plain

    return native.find(hidden_size, head_size) or plain.PlainKernels()


__all__ = ["Activation", "Form", "Kernels", "Norm", "Tables", "best"]
