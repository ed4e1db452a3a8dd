"""The time of every kernel of a full batch, alone and with a cold cache, and its share of the machine's ceilings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.bert.config import LINEARS
from backends.gpu.gemm_tuning import TunedProduct, random_residual
from backends.gpu.kernels.residual import Residual
from backends.gpu.packed_bert import DeviceBatch
from backends.gpu.residual_norm import embedded, is_normalized_again, normalized
from backends.gpu.weights import GpuWeights
from backends.pytorch_cpu.kernels import Encoding
from benchmarks import length_matched
from benchmarks.gpu_first_run import workload
from benchmarks.gpu_first_run.forward import on_device
from benchmarks.gpu_first_run.rig import Rig

COPY = "copy"  # the ceiling of what moves memory


@dataclass(frozen=True, kw_only=True)
class Part:
    """One kernel, or a product with the pass after it."""

    name: str
    calls: int  # in a forward pass
    call: Callable[[], object]
    operations: float = 0.0  # of a product
    moved: float = 0.0  # least bytes of a kernel that is bound by memory


@torch.inference_mode()
def table(
    rig: Rig, precision: str, weights: GpuWeights, chosen: Mapping[str, str], ceilings: Mapping[str, float]
) -> Iterator[tuple[str, ...]]:
    """A row for each part: its time, its share of a pass, its rate, and the rate's share of the ceiling."""
    yield ("part", "calls", "us", "share", "rate", "of ceiling", "chosen")
    parts = _parts(rig, weights, chosen)
    times = {part.name: rig.gpu.milliseconds(part.call) for part in parts}
    whole = sum(times[part.name] * part.calls for part in parts)
    for part in parts:
        ms = times[part.name]
        rate, of = _rate(part, ms, precision, ceilings)
        variant = chosen.get(f"{part.name}@{max(int(key.partition('@')[2]) for key in chosen)}", "")
        yield (part.name, str(part.calls), f"{1e3 * ms:.0f}", f"{ms * part.calls / whole:.1%}", rate, of, variant)
    samples = rig.most_tokens / length_matched.MEAN_LENGTH
    yield ("all", "", f"{1e3 * whole:.0f}", "", f"{samples / whole * 1e3:.0f} samples/s", "", "")


def _rate(part: Part, ms: float, precision: str, ceilings: Mapping[str, float]) -> tuple[str, str]:
    if part.operations:
        rate, ceiling, unit = part.operations / ms / 1e9, ceilings.get(precision), "TFLOP/s"
    else:
        rate, ceiling, unit = part.moved / ms / 1e6, ceilings.get(COPY), "GB/s"
    return f"{rate:.0f} {unit}", f"{rate / ceiling:.0%}" if ceiling else "-"


def _parts(rig: Rig, weights: GpuWeights, chosen: Mapping[str, str]) -> list[Part]:
    batch = on_device(rig.gpu.device, workload.batch(rig.most_tokens, rig.config.vocab_size))
    layer, tokens, layers = weights.layers[0], len(batch.ids[0]), rig.config.num_hidden_layers
    products = []
    for name in LINEARS:
        product = getattr(layer, name)
        x, tuned = workload.operand(product, tokens), TunedProduct(name, product, rig.gpu.kernels, chosen)
        operations = 2.0 * tokens * product.weight.numel()
        call = _product_call(tuned, x, random_residual(layer, name, tokens))
        products.append(Part(name=name, calls=layers, call=call, operations=operations))
    return [*products, *_passes(rig, weights, batch, tokens, chosen)]


def _product_call(tuned: TunedProduct, x: Tensor, residual: Residual | None) -> Callable[[], object]:
    return lambda: tuned(x) if residual is None else tuned.plus(x, residual)


def _passes(rig: Rig, weights: GpuWeights, batch: DeviceBatch, tokens: int, chosen: Mapping[str, str]) -> list[Part]:
    """Everything between the products."""
    layer, width, kernels = weights.layers[0], rig.config.hidden_size, rig.gpu.kernels
    layers, heads = rig.config.num_hidden_layers, rig.config.num_attention_heads
    stream = torch.randn(tokens, width, device=rig.gpu.device).to(weights.stream)
    projection = TunedProduct("attention_output", layer.attention_output, kernels, chosen)
    context = workload.operand(layer.attention_output, tokens)
    residual = random_residual(layer, "attention_output", tokens)
    assert residual is not None
    sums, left = projection.plus(context, residual)
    qkv = _output(layer.qkv.output_encoding, tokens, 3 * width, rig.gpu.device)
    mixed, following = layer.attention_output.input_encoding, layer.ffn_inner.input_encoding
    *_, (head, bias) = weights.head
    answers = torch.empty(tokens, len(head), device=rig.gpu.device)
    kept = 2 if is_normalized_again(following) else 0  # bytes of the sums
    norm_bytes = 2 + following.dtype.itemsize + (0 if left is None else 2 + kept)
    embed_bytes = 4 + following.dtype.itemsize + kept  # a row of the word table is float32
    return [
        Part(
            name="attention",
            calls=layers,
            call=lambda: kernels.attention(qkv, batch.cu_seqlens, batch.longest, heads, mixed, context),
            moved=tokens * width * (3.0 * qkv.element_size() + context.element_size()),
        ),
        Part(
            name="add_norm",
            calls=2 * layers,
            call=lambda: normalized(kernels, sums, left, layer.attention_norm, following),
            moved=float(tokens * width * norm_bytes),
        ),
        Part(
            name="embed",
            calls=1,
            call=lambda: embedded(
                kernels, batch.ids, weights.tables, weights.embedding_norm, layer.qkv.input_encoding, weights.stream
            ),
            moved=float(tokens * width * embed_bytes),
        ),
        Part(
            name="head",
            calls=1,
            call=lambda: kernels.head(stream, head, bias, answers),
            moved=float(tokens * width * stream.element_size()),
        ),
    ]


def _output(encoding: Encoding, tokens: int, width: int, device: torch.device) -> Tensor:
    return torch.randn(tokens, width, device=device).to(encoding.dtype)
