"""Scores a question answering network in training with the features and the scorer of a run, without LoadGen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from accuracy.log import PAD_LOGIT
from accuracy.squad import SquadScore, score_logits
from backends.bert.heads import COLUMNS
from foundation.arrays import Float32
from qsl import squad
from qsl.base import Features
from qsl.squad import SquadFeatures
from qsl.squad_examples import Example, read_examples
from qsl.wordpiece import WordPiece
from training.loop.world import ALONE, World
from training.network.packed_batch import PackedBatch
from training.tasks.feature_batches import added_up, evaluation_batches, packed

LogitsOf = Callable[[PackedBatch], Tensor]  # float32 [T, 2]


def evaluate(logits_of: LogitsOf, dataset: Path, vocab: Path, world: World = ALONE) -> SquadScore:
    """Exact match and F1 on a SQuAD v1.1 file, the samples shared by the ranks."""
    scored = _opened(dataset, vocab, *(path.stat().st_mtime_ns for path in (dataset, vocab)))
    answered = np.ones(len(scored.features.features), np.bool_)
    logits = _logits(logits_of, scored.features.features, world)
    return score_logits(logits, answered, scored.examples, scored.features, scored.tokenizer)


@dataclass(frozen=True)
class _Scored:
    """A file that is scored."""

    examples: list[Example]
    features: SquadFeatures
    tokenizer: WordPiece


@lru_cache(maxsize=1)  # all of SQuAD's takes seconds, in which a GPU would wait at each evaluation
def _opened(dataset: Path, vocab: Path, *_: int) -> _Scored:
    return _Scored(read_examples(dataset), squad.load(dataset, vocab, None), WordPiece(vocab))


@torch.inference_mode()
def _logits(logits_of: LogitsOf, features: Features, world: World) -> Float32:
    """[samples, longest sample's tokens, 2]."""
    lengths = features.lengths
    logits = np.zeros((len(features), int(lengths.max()), COLUMNS), np.float32)
    for rows in evaluation_batches(features)[world.rank :: world.size]:
        parts = logits_of(packed(features, rows, world.device)).cpu().numpy()
        for row, part in zip(rows, np.split(parts, np.cumsum(lengths[rows])[:-1]), strict=True):
            logits[row, : len(part)] = part
    found = added_up(logits, world)
    found[np.arange(found.shape[1]) >= lengths[:, None]] = PAD_LOGIT
    return found
