"""What one contestant of `benchmarks.gpu_hopper_attention` does in its own process: is it right, and how fast?

It compiles first, says so, and waits for a line before it works. Cases are checked from the simplest on, so that the
first one that is wrong says most.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from backends.gpu.hopper import attention as hopper
from backends.gpu.kernels import attention
from backends.gpu.kernels.rounding import store
from backends.pytorch_cpu.kernels import Encoding
from benchmarks.gpu_hopper_child import host_us, measured_us, say
from benchmarks.length_matched import LENGTHS
from foundation import program

HIDDEN, _HEAD = 1024, 64
HOPPER, TRITON = "hopper", tuple(attention.FORMS)
HALF, BFLOAT16 = torch.float16, torch.bfloat16
OUTPUTS = {"fp16": HALF, "int8": torch.int8, "fp8": torch.float8_e4m3fn}
_TYPES = {**OUTPUTS, "bf16": BFLOAT16}
_FACTOR, _ZERO_POINT = 60.0, -7
# ‖row − reference‖ / ‖reference‖; of bytes, a few values may be rounded the other way
_TOLERANCE = {HALF: 6e-3, BFLOAT16: 3e-2, torch.int8: 0.12, torch.float8_e4m3fn: 0.07}  # of one rounding to fp8, 2**-4
_BEYOND = 70  # rows of NaN beyond the last sample


class Case(NamedTuple):
    """Samples of a check; that of `broken` is all NaN and must not reach its neighbours."""

    lengths: tuple[int, ...]
    hidden: int = HIDDEN
    broken: int = -1


_EDGES = (0, 1, 2, 63, 64, 65, 127, 128, 0, 177, 191, 192, 193, 256, 257, 384, 385, 512)
CASES: dict[str, Case] = {
    "one block": Case((64,)),
    "one tail": Case((33,)),
    "192": Case((192,)),
    "256": Case((256,)),
    "edges": Case(_EDGES),
    "edges, mixed": Case(tuple(random.Random(2).sample(_EDGES * 3, 3 * len(_EDGES)))),  # noqa: S311 - a test's order
    "a broken neighbour": Case((70, 100, 130, 17, 0, 250), broken=2),
    "many empty": Case((*_EDGES, *(0,) * 300)),
    "longer than shared memory": Case((700, 64, 1030)),
    "many short": Case(tuple(range(1, 90)) * 4),
}
# inputs and outputs of a check, on which cases
_KINDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("fp16", "fp16", tuple(CASES)),
    ("fp16", "int8", ("edges", "edges, mixed", "a broken neighbour")),
    ("fp16", "fp8", ("edges", "edges, mixed")),
    ("bf16", "bf16", ("edges", "a broken neighbour")),
    ("bf16", "fp8", ("edges", "edges, mixed")),
)


def _batch(tokens: int, longest: int = max(LENGTHS)) -> tuple[int, ...]:
    """SQuAD's lengths up to `longest` in random order."""
    lengths = [length for length in LENGTHS if length <= longest]
    found = lengths * max(1, round(tokens / sum(lengths)))
    return tuple(random.Random(1).sample(found, len(found)))  # noqa: S311 - a benchmark's order


BATCHES: dict[str, tuple[int, ...]] = {
    "32,768 tokens": _batch(32768),
    "32,768 tokens, up to 192": _batch(32768, 192),
    "32,768 tokens of 384": (384,) * 85,
    "about 4,096 tokens": _batch(4096),
    "one sample of 384": (384,),
}


def traffic(lengths: Sequence[int], dtype: torch.dtype) -> int:
    """Bytes that attention must read and write."""
    return sum(lengths) * HIDDEN * (6 + dtype.itemsize)


def encoding_of(output: str, hidden: int, device: str) -> Encoding:
    dtype = _TYPES[output]
    if dtype.itemsize == 2:
        return Encoding(dtype)
    factors = _FACTOR * (0.5 + torch.rand(hidden, device=device))
    return Encoding(dtype, factors, _ZERO_POINT if dtype == torch.int8 else 0)


def function_of(name: str, device: str) -> hopper.Attention:
    if device != "cuda":
        return attention.twin
    return hopper.launch if name == HOPPER else _triton(name)


def _triton(form: str) -> hopper.Attention:
    def launched(qkv: Tensor, ends: Tensor, longest: int, heads: int, encoding: Encoding, to: Tensor) -> None:
        attention.launch(qkv, ends, longest, heads, encoding, to, form)

    return launched


def inputs_of(lengths: Sequence[int], hidden: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """qkv, which has rows of NaN beyond the samples, and where samples begin and end."""
    ends = torch.tensor([0, *lengths], device=device).cumsum(0).int()
    qkv = (1.5 * torch.randn(sum(lengths) + _BEYOND, 3 * hidden, device=device)).to(dtype)
    qkv[sum(lengths) :] = float("nan")
    return qkv, ends


def worst_row(case: Case, qkv: Tensor, encoding: Encoding, to: Tensor) -> tuple[float, str]:
    """The greatest error of a row relative to its length, and where it is; infinite if a row beyond was written."""
    start, found = 0, (0.0, "")
    for number, length in enumerate(case.lengths):
        sample, start = qkv[start : start + length].float(), start + length
        if not length or number == case.broken:
            continue
        query, key, value = sample.view(length, 3, -1, _HEAD).permute(1, 2, 0, 3)
        mixed = torch.softmax(query @ key.transpose(1, 2) / _HEAD**0.5, -1) @ value
        expected = torch.empty(length, case.hidden, dtype=encoding.dtype, device=qkv.device)
        store(mixed.transpose(0, 1).flatten(1), encoding, expected)
        exact, got = (x.float().view(length, -1, _HEAD) for x in (expected, to[start - length : start]))
        errors = ((got - exact).norm(dim=2) / exact.norm(dim=2)).nan_to_num(float("inf"))
        at = int(errors.argmax())
        where = f"sample {number} of {length}, row {at // errors.shape[1]}, head {at % errors.shape[1]}"
        found = max(found, (float(errors.max()), where))
    untouched = bool((to[start:].view(torch.uint8) == _POISON).all())
    return found if untouched else (float("inf"), "rows beyond the last sample")


_POISON = 0x7F  # NaN in fp8 and, twice, in fp16 and bf16; 127 in int8


def poisoned(rows: int, encoding: Encoding, hidden: int, device: str) -> Tensor:
    held = torch.full((rows, hidden * encoding.dtype.itemsize), _POISON, dtype=torch.uint8, device=device)
    return held.view(encoding.dtype)


def checks(call: hopper.Attention, device: str) -> Iterator[dict[str, object]]:
    for inputs, output, names in _KINDS:
        for name in names:
            case = CASES[name] if device == "cuda" else CASES[name]._replace(hidden=2 * _HEAD)  # a dry run is short
            say(at={"case": name, "inputs": inputs, "output": output})
            encoding = encoding_of(output, case.hidden, device)
            qkv, ends = inputs_of(case.lengths, case.hidden, _TYPES[inputs], device)
            if case.broken >= 0:
                first, last = ends[case.broken : case.broken + 2].tolist()
                qkv[first:last] = float("nan")
            to = poisoned(len(qkv), encoding, case.hidden, device)
            call(qkv, ends, max(case.lengths), case.hidden // _HEAD, encoding, to)
            error, where = worst_row(case, qkv, encoding, to)
            right = error <= _TOLERANCE[encoding.dtype]
            yield {"case": name, "inputs": inputs, "output": output, "error": error, "right": right, "where": where}


def timings(call: hopper.Attention, device: str) -> Iterator[dict[str, object]]:
    is_gpu = device == "cuda"
    for name, all_lengths in BATCHES.items():
        lengths = all_lengths if is_gpu else all_lengths[:2]
        for output in OUTPUTS:
            say(at={"batch": name, "output": output})
            encoding = encoding_of(output, HIDDEN, device)
            qkv, ends = inputs_of(lengths, HIDDEN, HALF, device)
            to = poisoned(len(qkv), encoding, HIDDEN, device)
            one = partial(call, qkv, ends, max(lengths), HIDDEN // _HEAD, encoding, to)
            yield {"batch": name, "output": output, "us": measured_us(one, is_gpu)}
    yield {"host_us": host_us(one, 200 if is_gpu else 1)}


def compiled(call: hopper.Attention, device: str) -> None:
    """Runs every kernel once, on a sample of no tokens, which is how kernels are compiled."""
    for inputs, output, _ in _KINDS:
        ends = torch.zeros(2, dtype=torch.int32, device=device)
        qkv = torch.zeros(64, 3 * HIDDEN, dtype=_TYPES[inputs], device=device)
        encoding = encoding_of(output, HIDDEN, device)
        call(qkv, ends, 64, HIDDEN // _HEAD, encoding, poisoned(64, encoding, HIDDEN, device))


def run(name: str, device: str) -> None:
    call = function_of(name, device)
    failed = ""
    try:
        compiled(call, device)
    except Exception as problem:  # noqa: BLE001 - a compiler's; it is this contestant's result
        failed = f"{type(problem).__name__}: {str(problem)[:300]}"
    say(ready=True)
    sys.stdin.readline()
    if failed:
        say(form=name, failed=failed)
    else:
        right = True
        for line in checks(call, device):
            say(form=name, **line)
            right &= bool(line["right"])
        if right or name in TRITON:
            for line in timings(call, device):
                say(form=name, **line)
    say(done=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    with torch.inference_mode():
        run(options.name, options.device)


if __name__ == "__main__":
    sys.exit(program.run(main))
