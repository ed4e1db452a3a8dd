"""The state of a process that trains on a CPU: how it treats denormal numbers, and memory that it freed.

A softmax over a vocabulary has gradients below 1e-38 as soon as a model is sure of a token; x86 cores compute with such
numbers in microcode, and a product that holds them takes 20 times as long.
"""

from __future__ import annotations

import torch

from foundation import freed_memory

_LARGEST_KEPT = 2**31 - 1  # bytes; above the logits of a micro-batch


def prepare() -> None:
    """Treat denormal numbers as 0 and keep freed memory.

    Call it before the first parallel operation: threads inherit the first from the one that starts them.
    """
    torch.set_flush_denormal(True)
    freed_memory.keep(_LARGEST_KEPT)
