"""The LayerNorm after a product of bytes: which form of it is the fastest, and is every one right?

    python -m benchmarks.gpu_norm                       # ten seconds on a GPU
    TRITON_INTERPRET=1 python -m benchmarks.gpu_norm --device cpu --tokens 100

Reads 2 bytes of an element and writes 1; the last row is PyTorch's conversion, which moves as much. The fastest form is
MANY_TOKENS in backends/gpu/kernels/norm.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from backends.gpu.kernels import add_norm
from backends.gpu.kernels.norm import FORMS, MANY_TOKENS
from backends.gpu.runtime import CudaGpu
from backends.pytorch_cpu.kernels import Encoding, LayerNorm

TYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
_SPREAD = 30.0
_MOST_OFF = 1e-2  # of the mean size of a result


class Case:
    """One input, and its outputs."""

    def __init__(self, dtype: torch.dtype, tokens: int, width: int, device: str) -> None:
        draw = partial(torch.randn, device=device)
        self.sums = (draw(tokens, width) * 2 + 1).half()
        self.norm = LayerNorm(1 + draw(width) / 10, draw(width) / 10, 1e-12)
        self.encoding = Encoding(dtype, _SPREAD * (1 + draw(width).abs() / 10), 0)
        self.to = torch.empty(tokens, width, dtype=dtype, device=device)
        self.statistics = torch.empty(tokens, 2, device=device)

    @property
    def _arguments(self) -> tuple[Tensor, None, LayerNorm, Encoding, Tensor, Tensor]:
        return self.sums, None, self.norm, self.encoding, self.to, self.statistics

    def call(self, form: str) -> Callable[[], None]:
        return partial(add_norm.launch, *self._arguments, FORMS[form])

    def off(self, call: Callable[[], None]) -> float:
        """The mean distance to the twin's results and statistics, against their mean size."""
        add_norm.twin(*self._arguments)
        expected = (self.to.float(), self.statistics.clone())
        self.to.view(torch.uint8).fill_(0x7F)
        self.statistics.fill_(float("nan"))
        call()
        pairs = zip((self.to.float(), self.statistics), expected, strict=True)
        return max(float((one - other).abs().mean() / other.abs().mean()) for one, other in pairs)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=["int8"])
    parser.add_argument("--tokens", type=int, default=32768)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: whether it is right, no times")
    options = parser.parse_args()
    gpu = CudaGpu(0) if options.device == "cuda" else None
    for kind in options.types:
        case = Case(TYPES[kind], options.tokens, options.width, options.device)
        calls = {form: case.call(form) for form in FORMS}
        wrong = {form for form, call in calls.items() if not case.off(call) <= _MOST_OFF}
        calls["PyTorch's conversion"] = lambda case=case: case.to.copy_(case.sums)  # type: ignore[misc]
        for name, call in calls.items():
            notes = " in use" * (FORMS.get(name) == MANY_TOKENS) + " WRONG" * (name in wrong)
            times = sorted(gpu.milliseconds(call) * 1e3 for _ in range(3)) if gpu else [float("nan")]
            rate = 3e-3 * options.tokens * options.width / times[len(times) // 2]
            print(f"{kind:5}{name:26}{times[len(times) // 2]:8.1f} us{rate:7.0f} GB/s{notes}", flush=True)


if __name__ == "__main__":
    main()
