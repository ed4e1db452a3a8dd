"""Chooses between kernels that wait for each other and kernels that start early, by timing whole captured passes.

A product of a short pass that starts early (hopper/small.py, kernels/dependent.py) overlaps its neighbours, so its time
alone says little. One product after the other, and attention, is changed in a captured pass of one sample, and keeps
what makes that pass the fastest; a bucket keeps them if the pass is faster than one of the variants chosen one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from backends.bert.config import LINEARS
from backends.gpu import gemm_tuning
from backends.gpu.cuda_graphs import captured
from backends.gpu.engine import BUCKETS
from backends.gpu.gemm_tuning import GemmChoices, key
from backends.gpu.hopper import small
from backends.gpu.kernels import attention
from backends.gpu.packed_bert import ATTENTION, GpuBert
from backends.gpu.runtime import Gpu
from backends.gpu.weights import GpuWeights, Product

Offers = Callable[[Product, int], Sequence[str]]  # a product and tokens → variants, the likely best first
_Plan = Mapping[str, str]  # the variant of each product, and the form of attention


def measured(weights: GpuWeights, gpu: Gpu, choices: GemmChoices, offers: Offers = small.variants) -> GemmChoices:
    """`choices`, and in each bucket in which a pass is faster with them, products that start early and attention.

    Raises:
        BackendError: a variant broke the GPU; the message names it.
    """
    found = dict(choices)
    for tokens in BUCKETS:
        offered: dict[str, Sequence[str]] = {name: offers(getattr(weights.layers[0], name), tokens) for name in LINEARS}
        if all(offered.values()):
            offered[ATTENTION] = attention.SHORT
            plan = _fastest(gemm_tuning.of(choices, tokens), offered, partial(_milliseconds, weights, gpu, tokens))
            found |= {key(name, tokens): variant for name, variant in plan.items()}
    return found


def _fastest(before: _Plan, offered: Mapping[str, Sequence[str]], milliseconds: Callable[[_Plan], float]) -> _Plan:
    """`before`, or the fastest plan of what is offered that a change of one kernel at a time finds."""
    plan = {name: variants[0] for name, variants in offered.items()}
    least = milliseconds(plan)
    for name, variants in offered.items():
        for variant in variants[1:]:
            changed = {**plan, name: variant}
            if (found := milliseconds(changed)) < least:
                plan, least = changed, found
    return plan if least < milliseconds(before) else before


def _milliseconds(weights: GpuWeights, gpu: Gpu, tokens: int, plan: _Plan) -> float:
    """Of a captured pass over `tokens` tokens; infinite if this GPU cannot run it."""
    choices = {key(name, bucket): variant for name, variant in plan.items() for bucket in BUCKETS}
    try:
        longest = min(tokens, weights.config.max_position_embeddings)
        replay = captured(GpuBert(weights, gpu.kernels, choices), gpu, tokens, 1, longest).replay
        return gpu.replay_milliseconds(replay)
    except Exception as error:  # noqa: BLE001 - as in gemm_tuning: compilers raise many types of errors
        gemm_tuning.check_alive(gpu, " ".join(plan.values()), f"a pass over {tokens} tokens", error)
        return float("inf")
