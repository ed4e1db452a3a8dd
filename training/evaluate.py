"""A model in training, scored as a run would be: official features, official scorer, no LoadGen between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from accuracy.squad import Score, score_logits
from backends.base import Batch
from backends.bert import BertForQuestionAnswering
from qsl import squad
from qsl.base import Features
from qsl.wordpiece import WordPiece
from sut.batching import Waiting, by_length

BATCH_TOKENS = 8192


def evaluate(model: BertForQuestionAnswering, dataset: Path, vocab: Path) -> Score:
    """Exact match and F1 of `model` on a SQuAD v1.1 file."""
    features = squad.load(dataset, vocab, None)
    answered = np.ones(len(features.features), np.bool_)
    logits = _logits(model, features.features)
    return score_logits(logits, answered, squad.read_examples(dataset), features, WordPiece(vocab).tokens)


@torch.inference_mode()
def _logits(model: BertForQuestionAnswering, features: Features) -> np.ndarray:
    """float32 [N, S, 2], S the longest sample's tokens."""
    lengths = features.lengths.tolist()
    logits = np.full((len(features), max(lengths), 2), -1e4, np.float32)
    for group in by_length([Waiting(i, i, length) for i, length in enumerate(lengths)], BATCH_TOKENS):
        rows = [sample.sample_index for sample in group]
        padded = Batch.of([features.sample(row) for row in rows]).padded()
        ids, types = torch.from_numpy(padded.input_ids), torch.from_numpy(padded.token_type_ids)
        out = model(ids, types, torch.from_numpy(padded.attention_mask).bool())
        logits[rows, : ids.shape[1]] = out.numpy()
    return logits
