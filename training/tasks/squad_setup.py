"""What the commands that train on a SQuAD file share: weights to start from, the recipe, the card."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from backends.bert.config import BertConfig
from foundation import atomic_write
from foundation.people_numbers import count
from foundation.steps import doing
from qsl import tokenizer_files
from qsl.data_file import DataFile
from training.loop import announce, run_folder
from training.loop.world import World
from training.network import initial_weights, weights
from training.tasks import squad
from training.tasks.recipes import Recipe
from training.tasks.squad import SpanNetwork, SquadData, SquadTask

WARMUP_SHARE = 0.1


def network(config: BertConfig, dropout: float, seed: int, start: Path | None) -> SpanNetwork:
    """A network with the weights of the model at `start`, or BERT's initial ones; a head it lacks is random.

    Raises:
        BackendError: there is no checkpoint of this geometry.
    """
    torch.manual_seed(seed)
    found = SpanNetwork(config, dropout)
    initial_weights.bert(found, config)
    if start is not None:
        weights.load(found, start)
    return found


def read(options: argparse.Namespace, vocab: Path) -> SquadData:
    """The two files, read and labelled: a minute for all of SQuAD, so it says what it does. Raises DatasetError."""
    with doing(f"reading {options.train} and {options.dev}"):
        data = squad.read(options.train, options.dev, vocab)
    about = f"{count(data.questions, 'question')} in {count(len(data.spans), 'window')}"
    print(f"training on {about}: {count(steps(options, data), 'step')} of {options.batch}", file=sys.stderr, flush=True)
    return data


def steps(options: argparse.Namespace, data: SquadData) -> int:
    """Of the training: its epochs in batches, the last one of an epoch filled from the next."""
    batches = -(-len(data.spans) // int(options.batch))
    return max(1, round(float(options.epochs) * batches))


def recipe(name: str, options: argparse.Namespace, steps: int) -> Recipe:
    """AdamW: a tenth of warm-up, then a straight line to 0."""
    warmup = max(1, round(WARMUP_SHARE * steps))

    def share(step: int) -> float:
        return float(min(step / warmup, (steps - step + 1) / max(1, steps - warmup)))

    every = max(1, steps // options.evaluations)
    return Recipe(
        name=name,
        batch=options.batch,
        max_steps=steps,
        rate=options.rate,
        warmup_steps=warmup,
        share=share,
        precision=options.precision,
        evaluate_every=every * options.batch,
        checkpoint_every=every,
    )


def write_card(
    folder: Path, title: str, task: SquadTask, options: argparse.Namespace, facts: Mapping[str, str], here: World
) -> None:
    """README.md in Hugging Face's form: what was trained from what, on which files, with which settings and score.

    The first process writes it.
    """
    if not here.is_first:
        return
    files = {"trained on": options.train, "scored on": options.dev, "vocabulary": options.vocab or task.data.vocab}
    kind = {"trained on": "a SQuAD v1.1 file", "scored on": "a SQuAD v1.1 file", "vocabulary": tokenizer_files.KIND}
    named = {name: f"{path.name}, sha256 {DataFile(path, kind[name], '').sha256}" for name, path in files.items()}
    settings = ("epochs", "rate", "batch", "dropout", "precision", "seed")
    lines = [
        "---",
        "pipeline_tag: question-answering",
        "---",
        f"# {title}",
        "",
        f"* F1 {task.best_f1:.2f} on the scored file",
        *(f"* {name}: {value}" for name, value in ({**facts, **named}).items()),
        *(f"* {name}: {getattr(options, name)}" for name in settings),
        f"* hardware: {here.size} × {announce.device_name(here)}",
    ]
    with run_folder.filled(folder):
        atomic_write.write_text(folder / "README.md", "\n".join(lines) + "\n")
