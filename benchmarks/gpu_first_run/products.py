"""Every variant of every product at every size: its time, and whether it computes what its twin does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from backends.bert.config import LINEARS
from backends.gpu import gemm_tuning
from backends.gpu.engine import BUCKETS
from backends.gpu.gemm_variants import variants
from backends.gpu.kernels import TWIN
from backends.gpu.kernels.gemm import DEFAULT
from backends.gpu.kernels.residual import Residual
from backends.gpu.weights import GpuLayer, Product
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run import workload
from benchmarks.gpu_first_run.rig import Rig

_SHOWN = (384, 4096, 32768)  # tokens; the others are in the log
_CHECKED_ROWS = 256
_SHORT = {"qkv": "qkv", "attention_output": "att", "ffn_inner": "inn", "ffn_output": "out"}
_NEAR = 1.04  # of the fastest time: a variant that is shown
_MOST_OFF = 0.02  # mean difference from the twin relative to the mean magnitude


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One variant of a product at one size."""

    product: str
    tokens: int
    variant: str
    ms: float
    tflops: float
    off: float  # mean difference from the twin relative to the mean magnitude


def measure(rig: Rig, layer: GpuLayer, found: list[Timed]) -> None:
    """Append to `found` all that can be measured; what a variant cannot do is a line in the log.

    Raises:
        RuntimeError: the GPU reports an error after which nothing on it can be trusted.
    """
    for name in LINEARS:
        product: Product = getattr(layer, name)
        for tokens in rig.product_tokens:
            x = workload.operand(product, tokens)
            residual = gemm_tuning.random_residual(layer, name, tokens)
            expected = _twin(layer, name, x, residual)
            for variant in variants(product, tokens):
                try:
                    one = _timed(rig, layer, name, variant, x, residual, expected)
                except Exception as error:
                    rigs.note(f"{name}@{tokens} {variant}: {rigs.first_line(error)}")
                    if rigs.GPU_FAILED in str(error):
                        raise RuntimeError(f"{name}@{tokens} {variant}: {error}") from error
                else:
                    rigs.note(json.dumps(vars(one)))
                    found.append(one)
            _again(rig, layer, found, (name, tokens), (x, residual))


def _again(
    rig: Rig, layer: GpuLayer, found: list[Timed], at: tuple[str, int], operands: tuple[Tensor, Residual | None]
) -> None:
    """Replace the times of the fastest at one size by those that they have in turns."""
    own = {t.variant: t for t in found if (t.product, t.tokens) == at and not _is_wrong(t)}
    if not own:
        return
    calls = {one: gemm_tuning.timed_call(one, layer, at[0], *operands, rig.gpu.kernels) for one in own}
    times = gemm_tuning.in_turns({one: t.ms for one, t in own.items()}, lambda one: rig.gpu.milliseconds(calls[one]))
    for number, one in enumerate(found):
        if own.get(one.variant) is one and one.variant in times:
            ms = times[one.variant]
            found[number] = replace(one, ms=ms, tflops=one.tflops * one.ms / ms)


def _timed(
    rig: Rig, layer: GpuLayer, name: str, variant: str, x: Tensor, residual: Residual | None, expected: Tensor
) -> Timed:
    call = gemm_tuning.timed_call(variant, layer, name, x, residual, rig.gpu.kernels)
    got = call()[:_CHECKED_ROWS].float()
    off = float((got - expected).abs().mean() / expected.abs().mean())
    ms = rig.gpu.milliseconds(call)
    operations = 2 * len(x) * getattr(layer, name).weight.numel()
    return Timed(product=name, tokens=len(x), variant=variant, ms=ms, tflops=operations / ms / 1e9, off=off)


def _twin(layer: GpuLayer, name: str, x: Tensor, residual: Residual | None) -> Tensor:
    """The first rows, as the kernels' twins compute them."""
    rows = slice(_CHECKED_ROWS)
    if residual is not None:
        statistics = None if residual.statistics is None else residual.statistics[rows]
        residual = Residual(residual.rows[rows], statistics, residual.norm)
    return gemm_tuning.timed_call(DEFAULT, layer, name, x[rows], residual, TWIN)().float()


def choices(found: list[Timed], default: dict[str, str]) -> dict[str, str]:
    """The fastest right variant of each product at each bucket; the last bucket takes that of the greatest size."""
    chosen = dict(default)
    for one in LINEARS:
        for bucket in BUCKETS:
            at = max(t.tokens for t in found) if bucket == BUCKETS[-1] else bucket
            right = [t for t in found if (t.product, t.tokens) == (one, at) and not _is_wrong(t)]
            if right:
                chosen[gemm_tuning.key(one, bucket)] = min(right, key=lambda t: t.ms).variant
    return chosen


def write_choices(work: Path, precision: str, chosen: Mapping[str, str]) -> None:
    """Leave choices for later steps."""
    (work / f"choices-{precision}.json").write_text(json.dumps(dict(chosen)), encoding="utf-8")


def read_choices(work: Path, precision: str) -> dict[str, str]:
    """What an earlier step chose; empty if there was none."""
    try:
        found: dict[str, str] = json.loads((work / f"choices-{precision}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def table(found: list[Timed]) -> Iterator[tuple[str, ...]]:
    """TFLOP/s by variant; `*` is the fastest of a column, `!` one that differs from its twin.

    Variants that are nowhere near the fastest are in the log only.
    """
    measured = list(dict.fromkeys(t.tokens for t in found))
    sizes = [tokens for tokens in measured if tokens in _SHOWN] or measured
    shown = [t for t in found if t.tokens in sizes]
    fastest = {(t.product, t.tokens): min(_right_times(shown, t), default=0.0) for t in shown}
    yield ("variant", *(f"{_SHORT[name]}@{_size(tokens)}" for name in LINEARS for tokens in sizes))
    for variant in dict.fromkeys(t.variant for t in shown):
        own = {(t.product, t.tokens): t for t in shown if t.variant == variant}
        if any(t.ms <= _NEAR * fastest[at] or _is_wrong(t) for at, t in own.items()):
            yield (variant, *(_cell(own.get((name, tokens)), fastest) for name in LINEARS for tokens in sizes))


def _right_times(found: list[Timed], one: Timed) -> Iterator[float]:
    """The times of the right variants in a column."""
    return (t.ms for t in found if (t.product, t.tokens) == (one.product, one.tokens) and not _is_wrong(t))


def _is_wrong(one: Timed) -> bool:
    return not one.off <= _MOST_OFF


def _cell(one: Timed | None, fastest: Mapping[tuple[str, int], float]) -> str:
    if one is None:
        return "-"
    return f"{one.tflops:.0f}{'*' * (one.ms == fastest[one.product, one.tokens])}{'!' * _is_wrong(one)}"


def _size(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)
