"""A BERT as the kernels read it: every matrix product with its scales and encodings, on one device.

Products run in float16 or bfloat16, from a checkpoint's tensors; or in int8 or fp8, from a built engine (engine.py).
The residual has 16 bits in both cases; accumulators are always wider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from backends.bert.config import LINEARS, SOURCES, BertConfig
from backends.bert.heads import HEADS
from backends.formats.base import Tensors
from backends.gpu.engine import FP8, Engine
from backends.pytorch_cpu.kernels import EmbeddingTables, Encoding, LayerNorm
from backends.pytorch_cpu.linear import as_tensor
from backends.quantization.engine_tensors import Arrays

_WITH_RESIDUAL = ("attention_output", "ffn_output")
FLOATS = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Product:
    """y = act((x Wᵀ) * scale + bias), [T, K] → [T, N]."""

    weight: Tensor  # [N, K], of the same dtype as x
    scale: Tensor | None  # float32 [N]; None: 1
    bias: Tensor  # float32 [N]
    gelu: bool
    input_encoding: Encoding  # of x
    output_encoding: Encoding  # of y
    has_residual: bool  # which is added to y, by the product or by the kernel after it


@dataclass(frozen=True, kw_only=True)
class GpuLayer:
    """One encoder layer: its products under their names in an engine, and its two LayerNorms."""

    qkv: Product
    attention_output: Product
    attention_norm: LayerNorm
    ffn_inner: Product
    ffn_output: Product
    ffn_norm: LayerNorm


@dataclass(frozen=True, kw_only=True)
class GpuWeights:
    """A model on a device."""

    config: BertConfig
    stream: torch.dtype  # of the residual and the head's input
    tables: EmbeddingTables
    embedding_norm: LayerNorm
    layers: tuple[GpuLayer, ...]
    head: tuple[tuple[Tensor, Tensor], ...]  # weight and bias of each layer, float32


def from_floats(config: BertConfig, tensors: Tensors, dtype: torch.dtype, device: torch.device) -> GpuWeights:
    """A model with products in float16 or bfloat16."""
    encoding = Encoding(dtype)

    def products(number: int) -> dict[str, Product]:
        return {name: product(number, name) for name in LINEARS}

    def product(number: int, name: str) -> Product:
        at = [f"bert.encoder.layer.{number}.{source}" for source in SOURCES[name]]
        weight, bias = (torch.cat([as_tensor(tensors[f"{a}.{part}"]) for a in at]) for part in ("weight", "bias"))
        return Product(
            weight=weight.to(device, dtype),
            scale=None,
            bias=bias.to(device),
            gelu=name == "ffn_inner",
            input_encoding=encoding,
            output_encoding=encoding,
            has_residual=name in _WITH_RESIDUAL,
        )

    return _assemble(config, tensors, dtype, products, device)


def from_engine(engine: Engine, device: torch.device) -> GpuWeights:
    """A model with products in int8 or fp8; everything else has 16 bits (`fp8_sums`), as with products in float16."""
    is_fp8 = engine.precision == FP8
    dtype = torch.float8_e4m3fn if is_fp8 else torch.int8
    stream = torch.float16
    qkv = Encoding(fp8_sums(device) if is_fp8 else stream)

    def products(number: int) -> dict[str, Product]:
        found = {name: product(number, name) for name in LINEARS}
        return found | {"ffn_inner": replace(found["ffn_inner"], output_encoding=found["ffn_output"].input_encoding)}

    def product(number: int, name: str) -> Product:
        linear = engine.linear(number, name)
        weight, scale, bias, multiplier = (
            as_tensor(array).to(device) for array in (linear.weight, linear.scale, linear.bias, linear.multiplier)
        )
        input_encoding = Encoding(dtype, multiplier, linear.zero_point)
        return Product(
            weight=weight.view(dtype),
            scale=scale,
            bias=bias,
            gelu=name == "ffn_inner",
            input_encoding=input_encoding,
            output_encoding=qkv if name == "qkv" else Encoding(stream),
            has_residual=name in _WITH_RESIDUAL,
        )

    return _assemble(engine.config, engine.tensors, stream, products, device)


@cache
def fp8_sums(device: torch.device) -> torch.dtype:
    """The type in which fp8 products leave what is no byte: float16, whose rounding is 8 times finer than bfloat16's.

    Values stay as far within its range as those of a model that runs in float16. Where the library gives a product with
    a scale per channel in bfloat16 only, it is that.
    """
    if device.type != "cuda":
        return torch.float16
    x, ones = torch.zeros(32, 32, dtype=torch.float8_e4m3fn, device=device), torch.ones(32, 1, device=device)
    try:
        torch._scaled_mm(x, x.T, ones, ones.T, ones.T[0].half(), out_dtype=torch.float16, use_fast_accum=True)
    except RuntimeError:
        return torch.bfloat16
    return torch.float16


def _assemble(
    config: BertConfig,
    tensors: Arrays,
    stream: torch.dtype,
    products: Callable[[int], dict[str, Product]],
    device: torch.device,
) -> GpuWeights:
    def placed(name: str) -> Tensor:
        return as_tensor(tensors[name]).to(device)

    def norm(at: str) -> LayerNorm:
        return LayerNorm(placed(f"{at}.LayerNorm.weight"), placed(f"{at}.LayerNorm.bias"), config.layer_norm_eps)

    def layer(number: int) -> GpuLayer:
        at, found = f"bert.encoder.layer.{number}.", products(number)
        return GpuLayer(**found, attention_norm=norm(f"{at}attention.output"), ffn_norm=norm(f"{at}output"))

    head = HEADS[config.head]
    embeddings = (f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "token_type", "position"))
    return GpuWeights(
        config=config,
        stream=stream,
        tables=EmbeddingTables(*map(placed, embeddings)),
        embedding_norm=norm("bert.embeddings"),
        layers=tuple(layer(number) for number in range(config.num_hidden_layers)),
        head=tuple((placed(f"{at}.weight"), placed(f"{at}.bias")) for at in (*head.dense, head.last)),
    )
