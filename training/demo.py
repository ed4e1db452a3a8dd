"""Trains the embedded model from scratch on generated passages and writes it to assets/demo.

Passages get longer in stages, when the current length is learned: the model learns to match a name across a text within
minutes on short passages, and hardly ever on long ones.

    python -m training.demo | tee docs/results/demo-model-training.log
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from backends.bert.config import BertConfig
from backends.bert.torch_module import BertForQuestionAnswering
from qsl import demo
from qsl.demo.seeded_choice import Draw
from training.network import model_files
from training.tasks.question_model import TrainedBert
from training.tasks.question_samples import SampleMaker, TrainBatch, batches, load_tokenizer
from training.tasks.question_scores import evaluate
from training.text import vocabulary

LAYERS, HIDDEN, HEADS = 4, 128, 4
STAGES = (3, 5, 8, 12, 18)  # maximum facts per passage; after the last stage the data set's own lengths
LEARNED = 0.8  # share of exact spans at which a stage ends
OWN_LENGTHS_FROM = 0.55  # share of the time after which all stages end
BATCH, POOL = 32, 16
RATE, WARMUP_STEPS, DECAY_FROM = 1.5e-3, 200, 0.4
AVERAGE = 0.998
EVALUATE_MINUTES = 5.0
CHOSEN_ON_SEED, CHOSEN_ON_QUESTIONS = 3, 400
TRAIN_SEED_OFFSET = 1000  # a different random stream from the train split's


@dataclass(kw_only=True)
class TrainingProgress:
    """Counts and running means of a training run, and its current stage."""

    minutes: float
    started: float
    questions: int = 0
    steps: int = 0
    stage: int = 0
    exact: float = 0.0
    loss: float = 0.0

    def elapsed(self) -> float:
        """The share of the training time that has passed."""
        return (time.monotonic() - self.started) / 60 / self.minutes

    def record(self, loss: float, exact: float) -> None:
        self.steps += 1
        self.questions += BATCH
        weight = max(0.01, 1 / self.steps)
        self.loss += weight * (loss - self.loss)
        self.exact += weight * (exact - self.exact)
        if self.stage < len(STAGES) and (self.exact > LEARNED or self.elapsed() > OWN_LENGTHS_FROM):
            self.stage += 1
            self.exact = 0.0

    def fact_count(self, draw: Draw) -> int:
        if self.stage == len(STAGES):
            return demo.fact_count(draw)
        return draw.between(max(2, STAGES[self.stage] // 3), STAGES[self.stage])

    def rate(self) -> float:
        """The learning rate: linear warm-up, a plateau, then half a cosine down to zero."""
        decayed = min(1.0, max(0.0, (self.elapsed() - DECAY_FROM) / (1 - DECAY_FROM)))
        return RATE * min(1.0, (self.steps + 1) / WARMUP_STEPS) * (0.01 + 0.99 * (1 + math.cos(math.pi * decayed)) / 2)

    def line(self) -> str:
        longest = "own" if self.stage == len(STAGES) else STAGES[self.stage]
        minutes = (time.monotonic() - self.started) / 60
        return (
            f"{minutes:5.1f} min  {self.questions:8,} questions  facts {longest!s:>3}  "
            f"loss {self.loss:.3f}  train exact {100 * self.exact:.1f}"
        )


class BestWeights:
    """Saves the best weights, scored on questions that are neither trained on nor in the dev split."""

    def __init__(self, output: Path, config: BertConfig, entries: list[str], folder: Path) -> None:
        self.output, self.config, self.entries = output, config, entries
        self.vocab, self.chosen_on, self.dev = (folder / name for name in ("vocab.txt", "chosen-on.json", "dev.json"))
        model_files.write_vocabulary(folder, entries)
        demo.write(self.chosen_on, "dev", CHOSEN_ON_SEED, CHOSEN_ON_QUESTIONS)
        demo.write(self.dev, "dev")
        self.best = -1.0

    def save_if_better(self, model: BertForQuestionAnswering, progress: TrainingProgress) -> None:
        score = evaluate(model, self.chosen_on, self.vocab)
        _print(f"{progress.line()}  unseen exact {score.exact_match:.1f}  F1 {score.f1:.1f}")
        if score.f1 >= self.best:
            self.best = score.f1
            model_files.write_model(self.output, self.config, self.entries, model)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    entries = (
        model_files.read_vocabulary(output)
        if options.resume
        else vocabulary.learn(vocabulary.texts_of(demo.generate("train")))
    )
    config = BertConfig(
        vocab_size=len(entries),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
    )
    trained = TrainedBert(config)
    if options.resume:
        model_files.load_weights(output, trained.bert)
    _print(f"{vars(options)}\n{config}\n{sum(weight.numel() for weight in trained.bert.parameters()):,} parameters")
    with tempfile.TemporaryDirectory() as folder:
        train(trained, BestWeights(output, config, entries, Path(folder)), options.minutes, options.seed)


def train(trained: TrainedBert, best: BestWeights, minutes: float, seed: int) -> None:
    progress = TrainingProgress(minutes=minutes, started=time.monotonic())
    maker = SampleMaker(load_tokenizer(best.entries), demo.stream("train", TRAIN_SEED_OFFSET + seed))
    averaged, due = copy.deepcopy(trained.bert), EVALUATE_MINUTES
    for _ in _steps(trained, averaged, progress, batches(maker, progress.fact_count, BATCH, POOL)):
        if time.monotonic() - progress.started < 60 * due:
            continue
        due += EVALUATE_MINUTES
        best.save_if_better(averaged, progress)
    best.save_if_better(averaged, progress)
    model_files.load_weights(best.output, averaged)
    score = evaluate(averaged, best.dev, best.vocab)
    _print(f"kept: dev exact {score.exact_match:.2f}, F1 {score.f1:.2f} on {demo.SPLITS['dev']:,} questions")


def _steps(
    trained: TrainedBert, averaged: BertForQuestionAnswering, progress: TrainingProgress, source: Iterator[TrainBatch]
) -> Iterator[None]:
    """Train until the time is over; yields after each batch."""
    optimiser = torch.optim.AdamW(trained.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    for batch in source:
        for group in optimiser.param_groups:
            group["lr"] = progress.rate()
        loss, right = trained(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        _average(averaged, trained.bert, min(AVERAGE, progress.steps / (progress.steps + 10)))
        progress.record(loss.item(), int(right) / BATCH)
        if progress.steps % 500 == 0:
            _print(progress.line())
        yield
        if progress.elapsed() >= 1:
            return


@torch.no_grad()
def _average(averaged: BertForQuestionAnswering, model: BertForQuestionAnswering, keep: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - keep)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("assets/demo"))
    parser.add_argument("--minutes", type=float, default=44.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="start from the weights under --output")
    return parser.parse_args()


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
