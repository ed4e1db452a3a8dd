"""The events of a training run as the loop sends them, made up: for what listens to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from training.loop.events import (
    BlockBegan,
    BlockEnded,
    CheckpointWritten,
    DataOpened,
    EvaluationBegan,
    EvaluationDone,
    Event,
    Hyperparameters,
    InitDone,
    Listener,
    RunBegan,
    RunEnded,
    StepDone,
    TargetReached,
    TrainingBegan,
)

LAMB = Hyperparameters(
    global_batch_size=448,
    gradient_accumulation_steps=1,
    optimizer="lamb",
    learning_rate=3.5e-4,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-6,
    weight_decay=0.01,
    max_steps=7100,
    warmup_steps=0,
    start_warmup_step=0,
)
BATCH, EVERY = 448, 150_080  # samples
STEPS_OF_BLOCK, SECONDS_OF_STEP, COMPUTING_S = 5, 0.5, 0.4  # a step stands for 67 of the real ones
BEGAN_S = 1_700_000_000.0
TOKENS, SQUARED = 1000, 300_000  # of a step
SCORES = (*(0.34 + 0.024 * number for number in range(15)), 0.71, 0.7212)  # of a run of the closed division


def began(**changes: Any) -> RunBegan:
    given: dict[str, Any] = {
        "time_s": BEGAN_S + 1,
        "task": "bert",
        "settings": {"train_batch_size": 56, "data_dir": "data", "max_samples": None},
        "hyperparameters": LAMB,
        "division": "closed",
        "seed": 1,
        "target": 0.72,
        "evaluation_samples": EVERY,
        "max_steps": 7100,
        "precision": "fp32",
        "parallel": "ddp",
        "device": "cpu",
        "device_name": "a processor",
        "devices": 8,
        "nodes": 1,
        "threads": 1,
        "restart": 0,
        "versions": {"torch": "2.13.0"},
        "started_s": BEGAN_S,
        "folder": Path("run"),
    }
    return RunBegan(**given | changes)


def start(**changes: Any) -> list[Event]:
    """Up to the first step."""
    return [
        began(**changes),
        DataOpened(
            time_s=BEGAN_S + 1, use="training", path=Path("data"), samples=1000, tokens=99_000, sha256="ab" * 32
        ),
        InitDone(
            time_s=BEGAN_S + 5, parameters=336_000_000, encoder_parameters=302_000_000, layers=24, hidden_size=1024
        ),
        TrainingBegan(time_s=BEGAN_S + 10),
    ]


def blocks(
    scores: Sequence[float] = SCORES,
    *,
    target: float | None = 0.72,
    every: int = EVERY,
    first: int = 0,
    at_s: float = 0.0,
) -> Iterator[Event]:
    """Evaluations with these scores, the first before a step, and the blocks between them.

    Args:
        first: samples before the first score.
        at_s: seconds from the start of the run.
    """
    now_s, samples, steps = BEGAN_S + 10 + at_s, first, first // (every // STEPS_OF_BLOCK)
    for number, score in enumerate(scores):
        if number or first:
            yield BlockBegan(time_s=now_s, step=steps, samples=samples, block_samples=every)
            for _ in range(STEPS_OF_BLOCK):
                now_s, steps, samples = now_s + SECONDS_OF_STEP, steps + 1, samples + every // STEPS_OF_BLOCK
                yield step(steps, samples, now_s, step_samples=every // STEPS_OF_BLOCK)
            yield BlockEnded(time_s=now_s, step=steps, samples=samples, block_samples=every)
        yield EvaluationBegan(time_s=now_s, step=steps, samples=samples)
        now_s += 2.0
        yield EvaluationDone(
            time_s=now_s,
            step=steps,
            samples=samples,
            values={"mlm_accuracy": score, "nsp_accuracy": 0.9},
            evaluated_samples=10_000,
            seconds=2.0,
        )
        if target is not None and score >= target:
            yield TargetReached(time_s=now_s, step=steps, samples=samples, score=score, target=target)
    reached = target is None or scores[-1] >= target
    yield CheckpointWritten(
        time_s=now_s,
        path=Path("run/checkpoint"),
        step=steps,
        samples=samples,
        seconds=0.25,
        size_bytes=99,
        is_best=True,
    )
    yield RunEnded(time_s=now_s + 0.5, status="reached" if reached else "missed", step=steps, samples=samples)


def step(number: int, samples: int, time_s: float, **changes: Any) -> StepDone:
    given: dict[str, Any] = {
        "loss": 10.0 / number,
        "parts": {"mlm": 9.5 / number, "nsp": 0.5 / number},
        "learning_rate": 3.5e-4,
        "gradient_norm": 1.0,
        "seconds": SECONDS_OF_STEP,
        "computing_s": COMPUTING_S,
        "step_samples": BATCH,
        "tokens": TOKENS,
        "squared_lengths": SQUARED,
        "memory_bytes": 5 << 30,
    }
    return StepDone(**{"time_s": time_s, "step": number, "samples": samples} | given | changes)


def whole(scores: Sequence[float] = SCORES, *, every: int = EVERY, **changes: Any) -> list[Event]:
    """A run from its start to its end."""
    return [*start(**changes), *blocks(scores, target=changes.get("target", 0.72), every=every)]


def send(happened: Sequence[Event], *listeners: Listener) -> None:
    for event in happened:
        for listener in listeners:
            listener(event)
