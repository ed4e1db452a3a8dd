"""One turn of `benchmarks.pretraining`: pre-training steps on random samples with SQuAD's lengths, in this process.

python -m benchmarks.pretraining_child ours --seconds 20 --threads 2
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, distributed, nn

from backends.bert.architectures import require_bert
from backends.bert.checkpoints import find_model
from backends.bert.config import BertConfig
from benchmarks.interleave import Reading
from benchmarks.length_matched import squad_lengths
from foundation import program
from foundation.arrays import Int64
from training.loop import loss_scale
from training.loop.plan import Plan
from training.loop.steps import Stepper
from training.loop.world import World
from training.network import host, initial_weights
from training.network.packed_bert import BertForPreTraining
from training.shards.instances import Instances, Row, from_rows
from training.tasks.pretraining import Pretraining, PretrainingData

MASKED_SHARE, DROPOUT, RATE = 0.15, 0.1, 1e-4
_PEAK_TOKENS, _SQUARE, _PEAK_S = 2048, 2048, 0.3  # rows of the model's own products; of a square one; time for each
_START = 3  # steps until the heap has its size: DDP's buckets grow it again in the second, and new pages cost time
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Call = Callable[[], object]


def samples_of(lengths: list[int], vocabulary: int) -> Instances:
    """Instances of these lengths: random ids, 15 % masked, two parts."""
    draw = np.random.default_rng(1)

    def row(number: int, length: int) -> Row:
        masked = sorted(draw.choice(np.arange(1, length), max(1, round(MASKED_SHARE * length)), replace=False).tolist())
        ids = draw.integers(1, vocabulary, length).tolist()
        return Row(ids, [0] * 20 + [1] * (length - 20), masked, ids[: len(masked)], number % 2)

    return from_rows(row(number, length) for number, length in enumerate(lengths))


def ours(config: BertConfig, options: argparse.Namespace) -> Reading:
    """The loop's own steps; with the environment of torchrun on its ranks."""
    host.prepare()
    instances = samples_of(squad_lengths(options.samples), config.vocab_size)
    peak = peak_flops(config, options.precision)
    world = _world()
    stepper = Stepper(_task(config, instances), _plan(options), world, loss_scale.of(options.precision))
    seconds = _timed(lambda number: stepper.step(number, 0, interrupted=False), options.seconds, world)
    reading = _reading(seconds, instances.lengths.astype(np.int64), config)
    return {**reading, "peak_flops": max(peak, peak_flops(config, options.precision))}


def _task(config: BertConfig, instances: Instances) -> Pretraining:
    """Pre-training on the same samples in each step."""
    network = BertForPreTraining(config, DROPOUT)
    initial_weights.bert(network, config)
    data = PretrainingData(training=instances, evaluation=instances, tokens_per_batch=1 << 14)
    return Pretraining(network, config, data, seed=1, global_batch_size=len(instances))


def _plan(options: argparse.Namespace) -> Plan:
    def adamw(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01, fused=True)

    return Plan(
        seed=1, max_steps=1 << 30, make_optimizer=adamw, learning_rate=lambda _: RATE, precision=options.precision
    )


def _world() -> World:
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        distributed.init_process_group("gloo")
    return World(rank=int(os.environ.get("RANK", "0")), size=size)


def _timed(step: Callable[[int], object], least_s: float, world: World) -> list[float]:
    """Seconds of each step after those of the start, until they take `least_s` together on the first rank."""
    for number in range(1, _START + 1):
        step(number)
    seconds: list[float] = []
    go_on = torch.ones(1)
    while go_on:
        start_s = time.perf_counter()
        step(_START + 1 + len(seconds))
        seconds.append(time.perf_counter() - start_s)
        go_on = world.add(torch.tensor([float(world.is_first and sum(seconds) < least_s)]))
    return seconds


def _reading(seconds: list[float], lengths: Int64, config: BertConfig) -> Reading:
    step_s = float(np.median(seconds))
    flops = 3 * config.operations_per_token * int(lengths.sum()) / step_s  # 6 N tokens
    return {"samples_per_s": len(lengths) / step_s, "tokens_per_s": int(lengths.sum()) / step_s, "flops": flops}


def transformers_trainer(config: BertConfig, options: argparse.Namespace) -> Reading:
    """transformers' BertForPreTraining in its Trainer, each sample padded to 512."""
    from benchmarks.pretraining_peer import timed_steps  # loads transformers

    instances = samples_of(squad_lengths(options.samples), config.vocab_size)
    seconds = timed_steps(config, instances, options.seconds, options.precision)
    return _reading(seconds, instances.lengths.astype(np.int64), config)


def peak_flops(config: BertConfig, precision: str) -> float:
    """The best rate of one product: a layer's own, forward and both backward, and a large square one."""
    return max(2 * m * k * n / _seconds(call) for (m, k, n), call in _products(config, _DTYPES[precision]))


def _products(config: BertConfig, dtype: torch.dtype) -> Iterator[tuple[tuple[int, int, int], Call]]:
    hidden, inner, rows = config.hidden_size, config.intermediate_size, _PEAK_TOKENS
    for inputs, outputs in ((hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)):
        x, weight, grad = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
        shape = (rows, inputs, outputs)
        for left, right in ((x, weight.T), (grad, weight), (grad.T, x)):
            yield shape, _product(left.to(dtype), right.to(dtype))
    square = torch.randn(_SQUARE, _SQUARE, dtype=dtype)
    yield (_SQUARE, _SQUARE, _SQUARE), _product(square, square)


def _product(left: Tensor, right: Tensor) -> Call:
    out = left.new_empty(len(left), right.shape[1])
    return lambda: torch.mm(left, right, out=out)


def _seconds(call: Call) -> float:
    """The shortest time of one call."""
    call()
    times: list[float] = []
    while sum(times) < _PEAK_S:
        start_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - start_s)
    return min(times)


# Operation of torch → what it belongs to in a step.
_PARTS = {
    "linear layers": ("aten::mm", "aten::addmm", "aten::linear"),
    "attention": ("aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_softmax_backward_data", "aten::abs"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "LayerNorm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "random numbers": ("aten::random_", "aten::ge"),
    "bias gradients": ("aten::sum",),
    "masked LM loss": ("aten::_log_softmax", "aten::_log_softmax_backward_data"),
    "optimizer": ("aten::_fused_adamw_", "aten::_foreach_norm", "aten::_foreach_mul_"),
    "copies": ("aten::copy_", "aten::cat", "aten::fill_", "aten::add_"),
}


def profiled(config: BertConfig, options: argparse.Namespace) -> Reading:
    """The share of each kind of operation in the time of one step; "other": element-wise ones, and Python."""
    host.prepare()
    instances = samples_of(squad_lengths(options.samples), config.vocab_size)
    stepper = Stepper(_task(config, instances), _plan(options), World(), loss_scale.of(options.precision))
    stepper.step(1, 0, interrupted=False)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        stepper.step(2, 0, interrupted=False)
    times = {one.key: one.self_cpu_time_total for one in profile.key_averages()}
    total = sum(times.values())
    shares = {part: sum(times.get(name, 0.0) for name in names) / total for part, names in _PARTS.items()}
    return {**shares, "other": 1 - sum(shares.values())}


TURNS: dict[str, Callable[[BertConfig, argparse.Namespace], Reading]] = {
    "ours": ours,
    "transformers": transformers_trainer,
    "profile": profiled,
}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The flags that `benchmarks.pretraining` hands on."""
    parser.add_argument("--model", default="random:bert-base", help="only its geometry counts")
    parser.add_argument("--layers", type=int, help="instead of the model's own")
    parser.add_argument("--samples", type=int, default=32, help="of a step")
    parser.add_argument("--seconds", type=float, default=10, help="of steps, after the first three, in each turn")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")


def geometry(options: argparse.Namespace) -> BertConfig:
    found = find_model(options.model).config
    assert found is not None
    config = require_bert(found, "benchmarks.pretraining")
    return replace(config, num_hidden_layers=options.layers) if options.layers else config


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretraining_child", description=__doc__)
    parser.add_argument("turn", choices=TURNS)
    parser.add_argument("--threads", type=int, default=1)
    add_settings(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    reading = TURNS[options.turn](geometry(options), options)
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps(reading))


if __name__ == "__main__":
    sys.exit(program.run(main))
