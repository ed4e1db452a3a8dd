"""Compiles the GPU's kernels for compute capability 9.0, which needs no GPU, and prints what became of them as JSON.

A program of its own: Triton must not be in its interpreter's mode.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from backends.gpu.kernels import add_norm, attention, embed, epilogue, gemm, head

_BYTES = {"i8", "fp8e4nv"}
# A product's input → what it gives.
_GIVES = {"fp16": "fp16", "i8": "i8", "fp8e4nv": "bf16"}


def main() -> None:
    found = {}
    for dtype in _GIVES:
        found[f"gemm {dtype}"] = compiled(gemm._gemm, *product(dtype), *gemm.TILES[gemm.DEFAULT][3:])
    for dtype in ("fp16", "fp8e4nv"):
        found[f"attention {dtype}"] = compiled(attention._attention, *mixing(dtype), 8, 2)
    found["add_norm"] = compiled(add_norm._add_norm, *half_layer("i8"), 4, 3)
    found["embed"] = compiled(embed._embed, *embedding(), 4, 3)
    found["epilogue"] = compiled(epilogue._epilogue, *after_library(), 4, 3)
    found["head"] = compiled(head._head, *logits(), 4, 3)
    json.dump(found, sys.stdout)


Arguments = tuple[dict[str, str], dict[str, Any]]  # name → type; name → constant


def product(dtype: str) -> Arguments:
    types = {"x": dtype, "weight": dtype, "scale": "fp32", "bias": "fp32", "multiplier": "fp32", "to": _GIVES[dtype]}
    rows, columns, depth_bytes, _, _ = gemm.TILES[gemm.DEFAULT]
    constants = {
        "rows": rows, "columns": columns, "depth": depth_bytes // (1 if dtype in _BYTES else 2), "group": 8,
        "sums": tl.int32 if dtype == "i8" else tl.float32, "gelu": True,
    }  # fmt: skip
    constants |= {} if dtype in _BYTES else {"scale": None}
    return types, constants | ({} if _GIVES[dtype] in _BYTES else {"multiplier": None})


def mixing(dtype: str) -> Arguments:
    types = {"qkv": "fp16", "cu_seqlens": "i32", "multiplier": "fp32", "to": dtype, "scale": "-fp32"}
    constants = {"queries": 128, "keys": 64, "block": 64}
    return types, constants | ({} if dtype in _BYTES else {"multiplier": None})


def half_layer(dtype: str) -> Arguments:
    types = {"projected": "fp16", "weight": "fp32", "bias": "fp32", "multiplier": "fp32", "stream": "fp16", "to": dtype}
    return types, {"block": 1024} | ({} if dtype in _BYTES else {"multiplier": None})


def embedding() -> Arguments:
    types = dict.fromkeys(("word_ids", "type_ids", "position_ids"), "i32")
    types |= dict.fromkeys(("words", "types", "positions", "weight", "bias", "multiplier"), "fp32")
    return types | {"stream": "fp16", "to": "i8"}, {"block": 1024}


def after_library() -> Arguments:
    types = {"sums": "i32", "scale": "fp32", "bias": "fp32", "multiplier": "fp32", "to": "i8"}
    return types, {"gelu": True, "block": 1024}


def logits() -> Arguments:
    return {"stream": "fp16", "weight": "fp32", "bias": "fp32", "to": "fp32"}, {"outputs": 2, "block": 1024}


_NUMBERS = {"epsilon": "fp32", "zero_point": "fp32", "scale": "fp32"}  # whole numbers are all others


def compiled(
    kernel: Any, pointers: dict[str, str], constants: dict[str, Any], warps: int, stages: int
) -> dict[str, Any]:
    """What the machine code is made of. All addresses and sizes are taken for multiples of 16, as BERT-Large's are."""
    names = kernel.arg_names
    types = {name: _type(name, pointers, constants) for name in names}
    at_16 = {(names.index(name),): [["tt.divisibility", 16]] for name, kind in types.items() if kind[0] in "*i"}
    source = ASTSource(kernel, types, {(names.index(name),): value for name, value in constants.items()}, at_16)
    found = triton.compile(source, GPUTarget("cuda", 90, 32), {"num_warps": warps, "num_stages": stages})
    ptx = found.asm["ptx"]
    return {
        "products": sorted(set(re.findall(r"wgmma\.mma_async\S*?\.(\w+\.\w+\.\w+) ", ptx))),
        "copies_ahead": "cp.async" in ptx,
        "bytes_of_code": len(found.asm["cubin"]),
        "shared_memory": found.metadata.shared,
    }


def _type(name: str, pointers: dict[str, str], constants: dict[str, Any]) -> str:
    if name in constants:
        return "constexpr"
    if name in pointers and pointers[name][0] != "-":
        return f"*{pointers[name]}"
    return _NUMBERS.get(name, "i32")


if __name__ == "__main__":
    main()
