"""The peak to which a run's MFU relates: a large matrix product in the run's precision, measured before the training.

It is measured on the first rank while the others wait, with the threads of one process: the figure is a device's.
"""

from __future__ import annotations

import time

import torch

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SIZES = {"cpu": 1024, "cuda": 8192}  # rows and columns: large enough for the peak, small enough for a repeat


@torch.no_grad()
def measure(device: str, precision: str, seconds: float = 1.0) -> float:
    """The best FLOP/s of square matrix products that take `seconds` together, after a first one that does not count.

    Args:
        device: such as "cpu" or "cuda:0".
        precision: fp32, bf16 or fp16.
    """
    kind, dtype = torch.device(device), _DTYPES[precision]
    size = _SIZES.get(kind.type, _SIZES["cuda"])
    left, right = (torch.rand(size, size, device=kind, dtype=dtype) for _ in range(2))
    result = left @ right
    best_s, end = float("inf"), time.perf_counter() + seconds
    while True:
        _wait(kind)
        began = time.perf_counter()
        torch.mm(left, right, out=result)
        _wait(kind)
        now = time.perf_counter()
        best_s = min(best_s, now - began)
        if now >= end:
            return float(2 * size**3 / best_s)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
