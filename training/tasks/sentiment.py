"""The sentiment model as a task of the loop: the generated sentences, scored as a run's answers are.

Batches are rows of a permutation of each epoch, so a step's sentences depend on the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from accuracy.sst2 import Sst2Score, score_logits
from backends.bert.config import BertConfig
from backends.bert.heads import CLASSES, COLUMNS
from foundation.arrays import Int64
from qsl import demo_sst2, sst2
from qsl.base import Features
from training.loop.dealing import rows_of_step
from training.loop.task import Drawn, Evaluation, Loss
from training.loop.world import ALONE, World
from training.network import initial_weights, model_files
from training.network.packed_batch import PackedBatch, on
from training.network.packed_bert import PackedBert
from training.tasks.feature_batches import added_up, evaluation_batches, packed
from training.tasks.recipe_flags import BATCH
from training.tasks.recipes import Recipe, cosine

LAYERS, HIDDEN, HEADS = 2, 64, 2
MAX_LENGTH = 128
DROPOUT, RATE = 0.05, 1e-3


@dataclass(frozen=True)
class Split:
    """A split's features and labels."""

    features: Features
    labels: Int64  # [N]


def split(folder: Path, name: str, sentences: int | None = None, *, shuffled: bool = False) -> Split:
    """A split of the generator, read with the vocabulary in `folder`; `shuffled` permutes its labels."""
    path = folder / f"{name}.tsv"
    demo_sst2.write(path, name, sentences=sentences, shuffled=shuffled)
    return Split(sst2.load(path, folder / model_files.VOCABULARY, None), sst2.read_labels(path))


def configure(entries: list[str]) -> BertConfig:
    """The model's geometry."""
    return BertConfig(
        vocab_size=len(entries),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=MAX_LENGTH,
        head=CLASSES,
    )


class SentimentNetwork(nn.Module):
    """`backends.bert.torch_module.BertForSequenceClassification` on packed batches: PackedBatch → logits [B, 2]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = PackedBert(config, DROPOUT)
        self.classifier = nn.Linear(config.hidden_size, COLUMNS)
        initial_weights.matching(self, config)

    def forward(self, batch: PackedBatch) -> Tensor:
        return self.classifier(self.bert.pooled(self.bert(batch), batch)).float()  # type: ignore[no-any-return]


class SentimentTask:
    """Trains on one split, scores on another."""

    def __init__(self, entries: list[str], trained: Split, scored: Split, seed: int) -> None:
        self.entries, self.trained, self.scored, self.seed = entries, trained, scored, seed
        self.config = configure(entries)
        torch.manual_seed(seed)
        self.network: nn.Module = SentimentNetwork(self.config)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of the split."""
        return len(self.trained.labels) // BATCH

    def draw(self, step: int) -> Drawn:
        """The next rows of the epoch's permutation."""
        rows = rows_of_step(self.seed, step, BATCH, len(self.trained.labels))
        return Drawn(rows, self.trained.features.lengths[rows].astype(np.int32))

    def loss(self, network: nn.Module, drawn: Drawn, mine: Int64, world: World) -> Loss:
        """Cross-entropy, over the step's sentences."""
        rows = drawn.rows[mine]
        logits = network(packed(self.trained.features, rows, world.device))
        labels = on(world.device, self.trained.labels[rows], np.int64)
        return Loss(F.cross_entropy(logits, labels, reduction="sum") / len(drawn))

    def evaluate(self, network: nn.Module, world: World) -> Evaluation:
        """Accuracy in percent, by the scorer of runs."""
        score = evaluate(network, self.scored, world)
        return Evaluation({"accuracy": score.accuracy}, len(self.scored.labels))

    def after_step(self, step: int, parts: Mapping[str, float]) -> None:
        """Nothing follows a step."""

    def state(self) -> dict[str, Any]:
        """Nothing: sentences depend on the step alone."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """There is none."""

    def write_model(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """An embedded model's three files."""
        model_files.write_model(folder, self.config, self.entries, weights)


@torch.inference_mode()
def evaluate(network: nn.Module, data: Split, world: World = ALONE) -> Sst2Score:
    """The accuracy of `network`, by the scorer of runs."""
    logits = np.zeros((len(data.labels), COLUMNS), np.float32)
    was_training = network.training
    network.eval()
    for rows in evaluation_batches(data.features)[world.rank :: world.size]:
        logits[rows] = network(packed(data.features, rows, world.device)).cpu().numpy()
    network.train(was_training)
    return score_logits(added_up(logits, world), np.ones(len(logits), np.bool_), data.labels)


def recipe(task: SentimentTask, epochs: int) -> Recipe:
    """AdamW: up over the first tenth of the steps, then down half a cosine; an evaluation after each epoch."""
    steps = epochs * task.steps_per_epoch
    warm = max(1, steps // 10)
    return Recipe(
        name="sentiment",
        batch=BATCH,
        max_steps=steps,
        rate=RATE,
        warmup_steps=warm,
        share=lambda step: min(step / warm, cosine((step - 1 - warm) / max(1, steps - warm))),
        precision="fp32",
        evaluate_every=BATCH * task.steps_per_epoch,
    )
