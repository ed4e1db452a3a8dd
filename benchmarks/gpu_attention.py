"""The time of every form of attention on this GPU, at BERT-Large's width: all of SQuAD's lengths together, and sorted.

    python -m benchmarks.gpu_attention          # less than a minute, most of it for compiling

Batches are sorted by length in Offline, so that the shorter half has its own. Each form is compared with the
twin first. The last line is JSON: microseconds by precision, batch and form.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor

from backends.gpu.kernels import attention
from backends.pytorch_cpu.kernels import Encoding
from benchmarks.breakdown import LENGTHS
from benchmarks.gpu_limits import milliseconds

_TOKENS, _HIDDEN, _HEADS = 32768, 1024, 16
_CHECKED = 14  # samples
_OUTPUTS = {"fp16": torch.float16, "fp8": torch.float8_e4m3fn, "int8": torch.int8}
_SHORT = (192, 256, 384)  # tokens of the longest sample of a batch
_MOST_OFF = 0.03  # mean difference from the twin relative to the mean magnitude: of one rounding to fp8


def batch(longest: int) -> list[int]:
    """SQuAD's lengths up to `longest`, in turn, for about `_TOKENS` tokens."""
    lengths = [length for length in LENGTHS if length <= longest]
    return lengths * (_TOKENS // sum(lengths))


def measured(precision: str, longest: int) -> dict[str, float]:
    """Microseconds by form; infinite if it computes something else than the twin."""
    lengths, dtype = batch(longest), _OUTPUTS[precision]
    ends = torch.tensor([0, *lengths], device="cuda").cumsum(0).int()
    qkv = torch.randn(sum(lengths), 3 * _HIDDEN, device="cuda").half()
    encoding = Encoding(dtype) if precision == "fp16" else Encoding(dtype, torch.full((_HIDDEN,), 60.0).cuda(), 0)
    found = {}
    for name, form in attention.FORMS.items():
        if form.most_blocks and not form.most_blocks - 1 <= (longest - 1) // form.keys < form.most_blocks:
            continue
        to = torch.full((len(qkv), _HIDDEN), 64.0, device="cuda").to(dtype)

        def call(name: str = name, to: Tensor = to) -> None:
            attention.launch(qkv, ends, longest, _HEADS, encoding, to, name)

        call()
        found[name] = 1e3 * milliseconds(call) if _is_right(qkv, ends[: _CHECKED + 1], encoding, to) else float("inf")
    return found


def _is_right(qkv: Tensor, ends: Tensor, encoding: Encoding, to: Tensor) -> bool:
    found, expected = to[: int(ends[-1])], torch.empty_like(to[: int(ends[-1])])
    attention.twin(qkv, ends, max(LENGTHS), _HEADS, encoding, expected)
    off = (found.float() - expected.float()).abs().mean() / expected.float().abs().mean()
    return bool(off < _MOST_OFF)


def main() -> None:
    found: dict[str, dict[str, float]] = {}
    print(torch.cuda.get_device_name(), f"{_TOKENS} tokens, microseconds, GB/s of least traffic")
    for precision, dtype in _OUTPUTS.items():
        for longest in _SHORT:
            found[f"{precision} up to {longest}"] = times = measured(precision, longest)
            moved = sum(batch(longest)) * _HIDDEN * (6 + dtype.itemsize)
            cells = (f"{form}: {us:.0f} ({moved / us / 1e3:.0f})" for form, us in times.items())
            print(f"{precision} up to {longest:<4}", *cells, sep="  ", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
