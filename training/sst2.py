"""Trains the embedded sentiment model on the generated train split and writes it to assets/demo-sst2.

It uses the features and the scorer of a run. Its length is in epochs, not minutes, so that the same machine gives the
same weights again. Run `python -m training.sst2 | tee docs/results/demo-sst2-training.log`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from accuracy.sst2 import Sst2Score, score_logits
from backends.bert.config import BertConfig
from backends.bert.heads import CLASSES
from backends.bert.torch_module import BertForSequenceClassification
from foundation.arrays import Int64
from qsl import demo_sst2, sst2
from qsl.base import Features
from sut.executors.worker import gather
from sut.queries.batching import by_length
from training.network import model_files
from training.network.initial_weights import initialise
from training.text import vocabulary

LAYERS, HIDDEN, HEADS = 2, 64, 2
MAX_LENGTH = 128
VOCABULARY = 1100  # at most; holds every word of the generator as one token
BATCH, RATE, DROPOUT = 32, 1e-3, 0.05
BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Split:
    """A split's features and labels."""

    features: Features
    labels: Int64  # [N]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    entries = vocabulary.learn((text for text, _ in demo_sst2.generate("train")), VOCABULARY)
    config = configure(entries)
    with tempfile.TemporaryDirectory() as folder:
        model_files.write_vocabulary(Path(folder), entries)
        train_split = split(Path(folder), "train", options.sentences, shuffled=options.shuffled)
        dev = split(Path(folder), "dev")
    model = train(config, train_split, options.epochs, options.seed, dev)
    model_files.write_model(output, config, entries, model)
    score = evaluate(model, dev)
    low, high = score.interval
    _print(f"kept: dev accuracy {score.accuracy:.2f} ({low:.2f} to {high:.2f}) on {len(dev.labels)} sentences")


def configure(entries: list[str]) -> BertConfig:
    return BertConfig(
        vocab_size=len(entries),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=MAX_LENGTH,
        head=CLASSES,
    )


def split(folder: Path, name: str, sentences: int | None = None, *, shuffled: bool = False) -> Split:
    """A split of the generator, read with the vocabulary in `folder`; `shuffled` permutes its labels."""
    path = folder / f"{name}.tsv"
    demo_sst2.write(path, name, sentences=sentences, shuffled=shuffled)
    return Split(sst2.load(path, folder / model_files.VOCABULARY, None), sst2.read_labels(path))


def train(
    config: BertConfig, data: Split, epochs: int, seed: int, dev: Split | None = None
) -> BertForSequenceClassification:
    """A model trained on `data`; prints its accuracy on `dev`, if given, after each epoch."""
    torch.manual_seed(seed)
    model = BertForSequenceClassification(config, DROPOUT)
    initialise(model, config)
    optimiser = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.01)
    steps = epochs * (len(data.labels) // BATCH)
    start_s = time.monotonic()
    for step, (batch, labels) in enumerate(_batches(data, epochs, seed)):
        optimiser.param_groups[0]["lr"] = RATE * _share(step, steps)
        loss = F.cross_entropy(model(*batch), labels)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if dev and (step + 1) % (steps // epochs) == 0:
            accuracy = evaluate(model, dev).accuracy
            _print(
                f"{time.monotonic() - start_s:5.0f} s  step {step + 1:5}  loss {loss.item():.3f}  dev {accuracy:.2f}"
            )
    return model.eval()


def _share(step: int, steps: int) -> float:
    """The learning rate as a share of RATE: up over the first tenth, then down half a cosine."""
    warm = max(1, steps // 10)
    return min((step + 1) / warm, (1 + math.cos(math.pi * max(0, step - warm) / max(1, steps - warm))) / 2)


def _batches(data: Split, epochs: int, seed: int) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    draw = np.random.default_rng(seed)
    for _ in range(epochs):
        order = draw.permutation(len(data.labels))
        for rows in order[: len(order) // BATCH * BATCH].reshape(-1, BATCH):
            yield _inputs(data.features, rows), torch.from_numpy(data.labels[rows])


def _inputs(features: Features, rows: Int64) -> tuple[Tensor, ...]:
    padded = gather(features, rows).padded()
    ids, types, mask = map(torch.from_numpy, (padded.input_ids, padded.token_type_ids, padded.attention_mask))
    return ids, types, mask.bool()


@torch.inference_mode()
def evaluate(model: BertForSequenceClassification, data: Split) -> Sst2Score:
    """The accuracy of `model`, by the scorer of runs."""
    was_training = model.training
    model.eval()
    logits = np.zeros((len(data.labels), 2), np.float32)
    for rows in by_length(data.features.lengths, BATCH_TOKENS, packed=False):
        logits[rows] = model(*_inputs(data.features, rows)).numpy()
    model.train(was_training)
    return score_logits(logits, np.ones(len(logits), np.bool_), data.labels)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.sst2", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("assets/demo-sst2"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sentences", type=int, help="sentences of the train split (default: all)")
    parser.add_argument(
        "--shuffled", action="store_true", help="permute the training labels: a control that must learn nothing"
    )
    return parser.parse_args()


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
