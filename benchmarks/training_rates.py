"""How long a question answering model of a real size trains here: samples/s of the loop, and hours for SQuAD v1.1.

Random weights and random tokens, in windows with SQuAD's lengths: no rate depends on them. What is timed are whole
steps, as `training.finetune`, `distill` and `prune` take them, without evaluations. FLOP are those of the encoders'
products: forward and backward of what is trained, forward of the teacher.

    python -m benchmarks.training_rates --precision bf16
    torchrun --nproc-per-node 8 -m benchmarks.training_rates --precision bf16
    python -m benchmarks.training_rates --device cpu --large l2-h64-a2 --small l1-h32-a2 --steps 2
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from backends.bert.config import BertConfig
from benchmarks import length_matched
from benchmarks.cpu_report import Grid, show
from foundation import program
from foundation.arrays import Int64
from foundation.errors import VALID
from foundation.help_formatter import HelpFormatter
from foundation.people_numbers import figure
from qsl.base import Features
from training.loop import announce, loss_scale, steps
from training.loop.steps import Stepper
from training.loop.world import World
from training.tasks import recipe_flags, squad_inputs, squad_setup
from training.tasks.distillation import Distillation, Teacher
from training.tasks.phases import Phase
from training.tasks.pruning import Pruning
from training.tasks.quantization_aware import QuantizationAware
from training.tasks.recipes import taking_part
from training.tasks.sparsity import Sparsity
from training.tasks.squad import SpanNetwork, SquadData, SquadTask
from training.tasks.targets import Weights

SQUAD_WINDOWS = 88_000  # of train-v1.1.json
_WINDOWS, _WARM_UP_STEPS, _SCHEDULED_STEPS = 2048, 3, 10_000
_MakePhase = Callable[[SpanNetwork, BertConfig, SquadData], Phase]


def _pruned(network: SpanNetwork, config: BertConfig, _: SquadData) -> Phase:
    return Pruning(network, config, Sparsity(share=0.8), last_step=_SCHEDULED_STEPS)


def _in_int8(network: SpanNetwork, config: BertConfig, data: SquadData) -> Phase:
    """Ranges are not calibrated: no rate depends on them."""
    return QuantizationAware(network, config, data.features, first_step=_SCHEDULED_STEPS, samples=1, seed=1, rate=1e-4)


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training of docs/guide/open-division.md.

    Attributes:
        name: with {large} and {small}, the geometries.
        trained: "large" or "small"; the teacher is large.
    """

    name: str
    trained: str = "large"
    has_teacher: bool = True
    batch: int = 32
    epochs: int
    phases: tuple[_MakePhase, ...] = ()


TRAININGS = {
    "finetune": Training(name="finetune {large}", has_teacher=False, batch=16, epochs=2),
    "distill": Training(name="distill {small} from {large}", trained="small", epochs=20),
    "prune": Training(name="prune {large}", epochs=30, phases=(_pruned,)),
    "int8": Training(name="prune {large}, steps in int8", epochs=30, phases=(_pruned, _in_int8)),
}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What was measured; FLOP, and seconds, of all steps and ranks together."""

    training: str
    samples: int
    steps: int
    seconds: float
    flop: float
    memory_bytes: int
    epochs: int

    @property
    def samples_per_s(self) -> float:
        return self.samples / self.seconds

    @property
    def squad_hours(self) -> float:
        """Of all epochs over SQuAD."""
        return SQUAD_WINDOWS * self.epochs / self.samples_per_s / 3600


def random_data(vocabulary_size: int) -> SquadData:
    """Windows with SQuAD's lengths."""
    draw, lengths = np.random.default_rng(1), np.array(length_matched.squad_lengths(_WINDOWS))
    tokens = int(lengths.sum())
    ids = draw.integers(0, vocabulary_size, tokens, np.int32)
    features = Features(ids, np.zeros(tokens, np.int32), np.concatenate([[0], np.cumsum(lengths)]))
    starts = draw.integers(0, lengths)
    nothing = Path()
    return SquadData(
        features=features,
        spans=np.stack([starts, starts], 1),
        questions=_WINDOWS,
        dev=nothing,
        vocab=nothing,
        vocabulary=(),
    )


def task_of(training: Training, sizes: dict[str, BertConfig], here: World) -> SquadTask:
    """The networks, with random weights, and their data."""
    config, data = sizes[training.trained], random_data(sizes["large"].vocab_size)
    network = squad_setup.network(config, 0.1, 1, None).to(here.device)
    phases = [make(network, config, data) for make in training.phases]
    if not training.has_teacher:
        return SquadTask(network, config, data, 1, training.batch, phases)
    teacher = Teacher(squad_setup.network(sizes["large"], 0.0, 1, None), sizes["large"])
    task = Distillation(network, config, teacher, data, weights=Weights(), seed=1, batch=training.batch, phases=phases)
    for phase in phases:
        phase.done.fill_(phase.last_step)
        phase.resumed()  # as after a checkpoint of int8's steps
    return task


def measure(
    name: str, training: Training, sizes: dict[str, BertConfig], here: World, options: argparse.Namespace
) -> Rate:
    """Train for a while."""
    task = task_of(training, sizes, here)
    chosen = argparse.Namespace(batch=training.batch, rate=1e-4, precision=options.precision, evaluations=1)
    plan = squad_setup.recipe(name, chosen, _SCHEDULED_STEPS).plan(1)
    stepper = Stepper(task, plan, here, loss_scale.of(plan.precision))
    began_s, flop, done = 0.0, 0.0, 0
    for step in range(1, _SCHEDULED_STEPS):
        if step == _WARM_UP_STEPS + 1:
            began_s = time.perf_counter()
        result = stepper.step(step, 0, interrupted=False)
        task.after_step(step, result.parts)
        here.synchronise()
        done = step - _WARM_UP_STEPS
        if done > 0:
            flop += _flop(training, sizes, result.drawn.lengths.astype(np.int64))
            passed_s = time.perf_counter() - began_s
            if here.of_first(done >= options.steps if options.steps else passed_s >= options.seconds):
                break
    return Rate(
        training=training.name.format(large=options.large, small=options.small),
        samples=done * training.batch,
        steps=done,
        seconds=passed_s,
        flop=flop,
        memory_bytes=steps.peak_memory_bytes(here),
        epochs=training.epochs,
    )


def _flop(training: Training, sizes: dict[str, BertConfig], lengths: Int64) -> float:
    """Of a step: a backward pass has two products for each of the forward pass."""

    def forward(config: BertConfig) -> float:
        of_weights = config.operations_per_token * int(lengths.sum())
        return float(of_weights + 4 * config.attention_channels * int((lengths**2).sum()))

    return 3 * forward(sizes[training.trained]) + training.has_teacher * forward(sizes["large"])


def grid(rates: Sequence[Rate], heading: str) -> Grid:
    """The table."""
    columns = ("training", "samples/s", "ms a step", "TFLOP/s", "GiB", f"hours for {SQUAD_WINDOWS:,} windows")
    rows: list[tuple[str, ...]] = [
        (
            one.training,
            figure(one.samples_per_s),
            figure(1e3 * one.seconds / one.steps),
            figure(one.flop / one.seconds / 1e12),
            figure(one.memory_bytes / 2**30),
            f"{figure(one.squad_hours)} ({one.epochs} epochs)",
        )
        for one in rates
    ]
    return Grid(heading, columns, rows)


def _rates(options: argparse.Namespace, here: World) -> Iterator[Rate]:
    sizes = {"large": squad_inputs.geometry(options.large), "small": squad_inputs.geometry(options.small)}
    for name in options.only or TRAININGS:
        if here.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(here.device)
        yield measure(name, TRAININGS[name], sizes, here, options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return recipe_flags.command(_measured, _options(argv))


def _measured(options: argparse.Namespace) -> int:
    torch.set_num_threads(options.threads)
    with taking_part(options) as here:
        rates = list(_rates(options, here))
        heading = f"{here.size} × {announce.device_name(here)}, {options.precision}, random weights"
        show(grid(rates, heading), Console(width=160), markdown=options.markdown)
    return VALID


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_rates", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=TRAININGS, help="trainings (default: all)")
    parser.add_argument("--large", default="bert-large", metavar="NAME", help="a geometry (default: %(default)s)")
    parser.add_argument("--small", default="minilm-l12-h384", metavar="NAME", help="the student's (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each training (default: %(default)g)")
    parser.add_argument("--steps", type=int, help="of each training, in place of --seconds")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    squad_inputs.add_machine_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
