"""Scores a model in training with the features and the scorer of a run, without LoadGen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from accuracy.squad import SquadScore, score_logits
from backends.bert.torch_module import BertForQuestionAnswering
from qsl import squad
from qsl.base import Features
from qsl.squad_examples import read_examples
from qsl.wordpiece import WordPiece
from sut.executors.worker import gather
from sut.queries.batching import by_length

BATCH_TOKENS = 8192


def evaluate(model: BertForQuestionAnswering, dataset: Path, vocab: Path) -> SquadScore:
    """Exact match and F1 of `model` on a SQuAD v1.1 file."""
    features = squad.load(dataset, vocab, None)
    answered = np.ones(len(features.features), np.bool_)
    logits = _logits(model, features.features)
    return score_logits(logits, answered, read_examples(dataset), features, WordPiece(vocab))


@torch.inference_mode()
def _logits(model: BertForQuestionAnswering, features: Features) -> np.ndarray:
    """float32[samples, longest sample's tokens, 2]."""
    logits = np.full((len(features), int(features.lengths.max()), 2), -1e4, np.float32)
    for rows in by_length(features.lengths, BATCH_TOKENS, packed=False):
        padded = gather(features, rows).padded()
        ids, types = torch.from_numpy(padded.input_ids), torch.from_numpy(padded.token_type_ids)
        out = model(ids, types, torch.from_numpy(padded.attention_mask).bool())
        logits[rows, : ids.shape[1]] = out.numpy()
    return logits
