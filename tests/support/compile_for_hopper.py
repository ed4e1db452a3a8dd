"""Compiles the GPU's kernels for compute capability 9.0, which needs no GPU, and prints their properties as JSON.

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

BYTES = ("i8", "fp8e4nv")
GIVES = {"fp16": "fp16", "i8": "i8", "fp8e4nv": "bf16"}  # input of a product → its output
DESCRIBED = "128x256 described"
Types = dict[str, str]  # of arguments; the others are integers
Constants = dict[str, Any]


def main() -> None:
    found = {}
    for dtype, tile in (("fp16", gemm.DEFAULT), *((dtype, DESCRIBED) for dtype in GIVES)):
        cut = gemm.TILES[tile]
        found[f"gemm {dtype} {tile}"] = compiled(gemm._gemm, *product(dtype, cut), cut.warps, cut.stages)
    for dtype in ("fp16", "fp8e4nv"):
        found[f"attention {dtype}"] = compiled(attention._attention, *mixing(dtype), 8, 2)
    found["add_norm"] = compiled(add_norm._add_norm, *half_layer(), 4, 3)
    found["embed"] = compiled(embed._embed, *embedding(), 4, 3)
    found["epilogue"] = compiled(epilogue._epilogue, *after_library(), 4, 3)
    found["head"] = compiled(head._head, *logits(), 4, 3)
    json.dump(found, sys.stdout)


def at(dtype: str, *names: str) -> Types:
    """Pointer arguments for `count` tensors."""
    return dict.fromkeys(names, f"*{dtype}")


def product(dtype: str, cut: gemm.Tile) -> tuple[Types, Constants]:
    depth = cut.depth_bytes // (1 if dtype in BYTES else 2)
    types = at("fp32", "scale", "bias", "multiplier") | at(GIVES[dtype], "to") | {"zero_point": "fp32"}
    for name, rows in (("x", cut.rows), ("weight", cut.columns)):
        types[name] = f"tensordesc<{dtype}[{rows}, {depth}]>" if cut.described else f"*{dtype}"
    constants = {
        "rows": cut.rows, "columns": cut.columns, "depth": depth, "group": 8, "described": cut.described,
        "sums": tl.int32 if dtype == "i8" else tl.float32, "gelu": True,
    }  # fmt: skip
    constants |= {} if dtype in BYTES else {"scale": None}
    return types, constants | ({} if GIVES[dtype] in BYTES else {"multiplier": None})


def mixing(dtype: str) -> tuple[Types, Constants]:
    types = at("fp16", "qkv") | at("i32", "cu_seqlens") | at("fp32", "multiplier") | at(dtype, "to")
    constants = {"queries": 128, "keys": 64, "block": 64} | ({} if dtype in BYTES else {"multiplier": None})
    return types | {"scale": "fp32", "zero_point": "fp32"}, constants


def half_layer() -> tuple[Types, Constants]:
    types = at("fp16", "projected", "stream") | at("fp32", "weight", "bias", "multiplier") | at("i8", "to")
    return types | {"epsilon": "fp32", "zero_point": "fp32"}, {"block": 1024}


def embedding() -> tuple[Types, Constants]:
    types = at("i32", "word_ids", "type_ids", "position_ids") | at("fp32", "words", "types", "positions")
    types |= at("fp32", "weight", "bias", "multiplier") | at("fp16", "stream") | at("i8", "to")
    return types | {"epsilon": "fp32", "zero_point": "fp32"}, {"block": 1024}


def after_library() -> tuple[Types, Constants]:
    types = at("i32", "sums") | at("fp32", "scale", "bias", "multiplier") | at("i8", "to") | {"zero_point": "fp32"}
    return types, {"gelu": True, "block": 1024}


def logits() -> tuple[Types, Constants]:
    return at("fp16", "stream") | at("fp32", "weight", "bias", "to"), {"outputs": 2, "block": 1024}


def compiled(kernel: Any, named: Types, constants: Constants, warps: int, stages: int) -> dict[str, Any]:
    """Properties of the machine code. All addresses and sizes count as multiples of 16, as in BERT-Large."""
    names = kernel.arg_names
    types = {name: "constexpr" if name in constants else named.get(name, "i32") for name in names}
    at_16 = {(names.index(name),): [["tt.divisibility", 16]] for name, kind in types.items() if kind[0] in "*i"}
    source = ASTSource(kernel, types, {(names.index(name),): value for name, value in constants.items()}, at_16)
    found = triton.compile(source, GPUTarget("cuda", 90, 32), {"num_warps": warps, "num_stages": stages})
    ptx = found.asm["ptx"]
    return {
        "products": sorted(set(re.findall(r"wgmma\.mma_async\S*?\.(\w+\.\w+\.\w+) ", ptx))),
        "copies_ahead": sorted(set(re.findall(r"cp\.async(?:\.bulk\.tensor)?", ptx))),
        "bytes_of_code": len(found.asm["cubin"]),
        "shared_memory": found.metadata.shared,
    }


if __name__ == "__main__":
    main()
