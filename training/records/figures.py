"""The figures of a training run, from what was measured.

All count the samples of all ranks, and optimizer steps, not micro-batches. The times of computing are taken after the
device has finished. A target is seen at an evaluation only, so the samples to it come with their spacing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.records.measurements import EvaluationRecord, Life, ModelFacts

_FORWARD_AND_BACKWARD = 3  # a backward pass has two matrix products for each of the forward pass


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Attributes:
    e2e_s: from the start of the first process to the end. train_s: from the start of the training, with evaluations,
        checkpoints and interruptions.
    train_no_evaluation_s: all steps, with waiting for data. computing_s: without waiting for data.
    interrupted_s: from the last sign of a life to the next one's training.
    steps, samples: that the weights have seen; what a kill made the run train twice counts once. samples_again: those
        that it counts once and that were trained again, as far as run.json knew them: after kill -9 up to half a
        minute's are missing.
    samples_per_s: over train_s; the other rates over the times of the steps and count what was trained twice twice.
    samples_to_target, seconds_to_target: at the first evaluation that reached it, so too large by up to the spacing;
        None: not reached, or no target.
    mfu: 6·N FLOP a token over the steps' time, as a share of the measured peak of all devices, N the parameters of the
        encoder's matrix products; `mfu_with_attention` counts attention's products, too.
    """

    e2e_s: float
    train_s: float
    train_no_evaluation_s: float
    computing_s: float
    evaluation_s: float
    checkpoint_s: float
    interrupted_s: float
    restarts: int
    samples_again: int
    devices: int
    steps: int
    samples: int
    samples_per_s: float | None
    samples_per_s_no_evaluation: float | None
    samples_per_s_computing: float | None
    tokens_per_s: float | None
    score: float | None
    best_score: float | None
    reached: bool | None
    samples_to_target: int | None
    steps_to_target: int | None
    seconds_to_target: float | None
    evaluation_spacing: int
    peak_flops_per_s: float | None
    mfu: float | None
    mfu_with_attention: float | None
    memory_bytes: int


def compute(
    lives: Sequence[Life],
    evaluations: Sequence[EvaluationRecord],
    model: ModelFacts | None,
    *,
    target: float | None,
    evaluation_spacing: int,
    progress: tuple[int, int],
) -> Figures:
    """The figures of a run so far.

    Args:
        lives: at least one.
        evaluation_spacing: samples between two evaluations.
        progress: steps and samples that the weights have seen.
    """
    began_s = next((life.training_began_s for life in lives if life.training_began_s), lives[-1].seen_s)
    train_s, step_s = lives[-1].seen_s - began_s, sum(life.step_s for life in lives)
    computing_s, trained = sum(life.computing_s for life in lives), sum(life.samples for life in lives)
    scores = [one.score for one in evaluations]
    hit = next((one for one in evaluations if target is not None and one.score >= target), None)
    return Figures(
        e2e_s=lives[-1].seen_s - lives[0].began_s,
        train_s=train_s,
        train_no_evaluation_s=step_s,
        computing_s=computing_s,
        evaluation_s=sum(life.evaluation_s for life in lives),
        checkpoint_s=sum(life.checkpoint_s for life in lives),
        interrupted_s=_interrupted_s(lives),
        restarts=len(lives) - 1,
        samples_again=trained - progress[1],
        devices=lives[-1].devices,
        steps=progress[0],
        samples=progress[1],
        samples_per_s=_rate(progress[1], train_s),
        samples_per_s_no_evaluation=_rate(trained, step_s),
        samples_per_s_computing=_rate(trained, computing_s),
        tokens_per_s=_rate(sum(life.tokens for life in lives), step_s),
        score=scores[-1] if scores else None,
        best_score=max(scores, default=None),
        reached=None if target is None else hit is not None,
        samples_to_target=hit.samples if hit else None,
        steps_to_target=hit.step if hit else None,
        seconds_to_target=hit.time_s - began_s if hit else None,
        evaluation_spacing=evaluation_spacing,
        peak_flops_per_s=lives[-1].peak_flops_per_s,
        mfu=_mfu(lives, lambda life: 6 * model.encoder_parameters * life.tokens) if model else None,
        mfu_with_attention=_mfu(lives, lambda life: flops(model, life)) if model else None,
        memory_bytes=max(life.memory_bytes for life in lives),
    )


def flops(model: ModelFacts, life: Life) -> int:
    """FLOP of forward and backward passes: the encoder's products with its weights, and attention's two.

    Attention of a sample of L tokens has two products of 2·L²·hidden_size FLOP in each layer.
    """
    of_weights = 2 * model.encoder_parameters * life.tokens
    of_attention = 4 * model.layers * model.hidden_size * life.squared_lengths
    return _FORWARD_AND_BACKWARD * (of_weights + of_attention)


def scaling_efficiency(samples_per_s: float, devices: int, one_device: float) -> float:
    """samples/s of N devices over N times those of one."""
    return samples_per_s / (devices * one_device)


def _mfu(lives: Sequence[Life], done: Callable[[Life], int]) -> float | None:
    known = [(life, life.peak_flops_per_s) for life in lives if life.peak_flops_per_s and life.steps]
    possible = sum(life.step_s * life.devices * peak for life, peak in known)
    return sum(done(life) for life, _ in known) / possible if possible else None


def _interrupted_s(lives: Sequence[Life]) -> float:
    pairs = itertools.pairwise(lives)
    return sum((after.training_began_s or after.seen_s) - before.seen_s for before, after in pairs)


def _rate(count: float, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None
