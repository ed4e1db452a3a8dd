"""What the GPU's kernels cost, read from their machine code for compute capability 9.0. It needs no GPU.

    python -m benchmarks.gpu_compiled                           # all kernels and tiles: two to three minutes
    python -m benchmarks.gpu_compiled --only "fp8 ffn_inner"

For each kernel and tile, in BERT-Large's geometry: instructions of one warp in the main loop and elsewhere, registers,
spills, shared memory, programs on a multiprocessor at the same time, and whether matrix instructions are asynchronous.
Then what a result costs against the first edition's kernels. The last line is JSON. The assembler is Triton's own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from backends.gpu.kernels import add_norm, attention, embed, epilogue, gemm, head
from backends.pytorch_cpu.kernels import EmbeddingTables, Encoding, LayerNorm
from benchmarks import gpu_machine_code
from benchmarks.gpu_machine_code import MachineCode
from foundation import program

Launch = Callable[[], None]
HALF, FP8, BYTE = torch.float16, torch.float8_e4m3fn, torch.int8
PRECISIONS = {"fp16": HALF, "fp8": FP8, "int8": BYTE}
_TOKENS, _HIDDEN, _INNER, _HEADS = 2048, 1024, 4096, 16
_LENGTH = 177  # tokens of SQuAD's mean sample
_STEP_BYTES = 128  # of K, in one pass of the main loop
# The first edition's: name here → (instructions in the main loop, elsewhere, programs on a multiprocessor).
FIRST_EDITION = {
    "fp16 ffn_inner 128x256": (86, 4940, 1),
    "fp8 ffn_inner 128x256": (86, 5297, 1),
    "int8 ffn_inner 128x256": (96, 5969, 1),
    "fp16 attention": (386, 422, 2),
    "fp8 attention": (384, 528, 2),
    "int8 attention": (384, 664, 2),
    "fp16 epilogue": (0, 318, 16),
    "fp8 epilogue": (0, 352, 16),
    "int8 epilogue": (0, 393, 12),
}
_FORM = attention.FORMS[attention.DEFAULT]
_FIRST_QUERIES, _FIRST_WARPS = 128, 8  # of the first edition's attention
_NOW = {
    "ffn_inner": "ffn_inner 128x128 described",
    "attention": f"attention {attention.DEFAULT}",
    "epilogue": "epilogue",
}


def cases() -> dict[str, Launch]:
    """Every kernel and tile by name: precision, what it computes, tile."""
    found: dict[str, Launch] = {}
    for precision, dtype in PRECISIONS.items():
        for tile in gemm.TILES:
            found[f"{precision} ffn_inner {tile}"] = partial(_product, dtype, _INNER, True, dtype, tile)
            found[f"{precision} qkv {tile}"] = partial(_product, dtype, 3 * _HIDDEN, False, HALF, tile)
        found |= {f"{precision} attention {form}": partial(_attention, dtype, form) for form in attention.FORMS}
        found |= {f"{precision} {kernel.__name__[1:]}": partial(kernel, dtype) for kernel in _KERNELS}
    return found


def _encoding(dtype: torch.dtype, width: int) -> Encoding:
    return Encoding(dtype) if dtype == HALF else Encoding(dtype, torch.empty(width), 0)


def _empty(dtype: torch.dtype, width: int) -> Tensor:
    return torch.empty(_TOKENS, width, dtype=dtype)


def _product(dtype: torch.dtype, n: int, gelu: bool, out: torch.dtype, tile: str) -> None:
    weight, scale = torch.empty(n, _HIDDEN, dtype=dtype), None if dtype == HALF else torch.empty(n)
    encoding = _encoding(out, n)
    gemm.launch(_empty(dtype, _HIDDEN), weight, scale, torch.empty(n), gelu, encoding, _empty(out, n), tile)


def _attention(dtype: torch.dtype, form: str) -> None:
    ends, encoding = torch.zeros(12, dtype=torch.int32), _encoding(dtype, _HIDDEN)
    attention.launch(_empty(HALF, 3 * _HIDDEN), ends, _LENGTH, _HEADS, encoding, _empty(dtype, _HIDDEN), form)


def _norm() -> LayerNorm:
    return LayerNorm(torch.empty(_HIDDEN), torch.empty(_HIDDEN), 1e-12)


def _add_norm(dtype: torch.dtype) -> None:
    """Where the product has added the residual."""
    statistics = None if dtype == HALF else torch.empty(_TOKENS, 2)
    add_norm.launch(_empty(HALF, _HIDDEN), None, _norm(), _encoding(dtype, _HIDDEN), _empty(dtype, _HIDDEN), statistics)


def _embed(dtype: torch.dtype) -> None:
    word, kind, position = (torch.zeros(_TOKENS, dtype=torch.int32) for _ in range(3))
    tables = EmbeddingTables(*(torch.empty(rows, _HIDDEN) for rows in (30522, 2, 512)))
    sums, statistics = (None, None) if dtype == HALF else (_empty(HALF, _HIDDEN), torch.empty(_TOKENS, 2))
    to = _empty(dtype, _HIDDEN)
    embed.launch((word, kind, position), tables, _norm(), _encoding(dtype, _HIDDEN), to, sums, statistics)


def _epilogue(dtype: torch.dtype) -> None:
    sums, scale = (_empty(torch.int32, _INNER), torch.empty(_INNER)) if dtype == BYTE else (_empty(HALF, _INNER), None)
    epilogue.launch(sums, scale, torch.empty(_INNER), True, _encoding(dtype, _INNER), _empty(dtype, _INNER))


def _head(dtype: torch.dtype) -> None:
    del dtype  # the stream is float16
    head.launch(_empty(HALF, _HIDDEN), torch.empty(2, _HIDDEN), torch.empty(2), torch.empty(_TOKENS, 2))


_KERNELS = (_add_norm, _embed, _epilogue, _head)
_COLUMNS = ("kernel", "loop", "MMA", "else", "SFU", "regs", "spill", "shared", "CTAs", "waits", "serialized")


def row(name: str, code: MachineCode) -> str:
    """A line of the table."""
    waits = ",".join(code.waits) or "-"
    cells = (name, code.loop, code.products_in_loop, code.others, code.special, code.registers, code.spilled_bytes)
    return _line(*cells, code.shared_bytes, code.programs, waits, "YES" if code.serialized else "no")


def _line(name: object, *cells: object) -> str:
    return f"{name!s:32}" + "".join(f"{cell!s:>8}" for cell in cells)


def gains(found: dict[str, MachineCode]) -> Iterator[str]:
    """Instructions before and now: of a tile, of a head of a sample, of a block."""
    for name, (loop, others, programs) in FIRST_EDITION.items():
        precision, what = name.split()[:2]
        now = found.get(f"{precision} {_NOW[what]}")
        if now is not None:
            before, after = _WORK[what](precision, loop, others, now)
            share = f"{after / before - 1:+.0%}"
            yield f"{precision + ' ' + what:16}{before:>9,} → {after:>7,} {share:>5}   CTAs {programs} → {now.programs}"


def _for_tile(precision: str, loop: int, others: int, now: MachineCode) -> tuple[int, int]:
    """Of one warp, for 4,096 results: of 128 x 256 by eight warps before, of 128 x 128 by four now."""
    steps = _HIDDEN * PRECISIONS[precision].itemsize // _STEP_BYTES
    return steps * loop + others, steps * now.loop + now.others


def _for_sample(precision: str, loop: int, others: int, now: MachineCode) -> tuple[int, int]:
    """Of all warps, for the mean sample; the last block of keys is now outside of the loop."""
    blocks = -(-_LENGTH // _FORM.keys)
    before = -(-_LENGTH // _FIRST_QUERIES) * _FIRST_WARPS * (blocks * loop + others)
    return before, -(-_LENGTH // _FORM.queries) * now.warps * ((blocks - 1) * now.loop + now.others)


def _for_block(precision: str, loop: int, others: int, now: MachineCode) -> tuple[int, int]:
    """Of one warp of four, for 1,024 results."""
    return others, now.others


_WORK = {"ffn_inner": _for_tile, "attention": _for_sample, "epilogue": _for_block}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_compiled", description="What the GPU's kernels cost, from their machine code."
    )
    parser.add_argument("--only", nargs="*", default=[""], help="kernels with one of these in their names")
    options = parser.parse_args()
    if gpu_machine_code.is_interpreted():
        sys.exit("expected compiled kernels, found TRITON_INTERPRET in the environment. Type: unset TRITON_INTERPRET")
    print(_line(*_COLUMNS))
    found: dict[str, MachineCode] = {}
    for name, launch in cases().items():
        if any(part in name for part in options.only):
            found[name] = gpu_machine_code.of(launch)
            print(row(name, found[name]), flush=True)
    print("\ninstructions of the first edition → now", *gains(found), sep="\n")
    print(json.dumps({name: asdict(code) | {"programs": code.programs} for name, code in found.items()}))


if __name__ == "__main__":
    sys.exit(program.run(main))
