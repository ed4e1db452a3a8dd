"""The question answering network in training: BERT with auxiliary heads below its last layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.bert.config import BertConfig
from backends.bert.torch_module import BertForQuestionAnswering, SelfAttention
from training.network.initial_weights import attentions, initialise
from training.tasks.question_samples import TrainBatch

MARK_WEIGHT = 0.5


class PlainAttention(SelfAttention):
    """Attention in separate steps: the fused kernel is slow in bfloat16 on CPUs, forward and backward."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (self._split(linear(x)) for linear in (self.query, self.key, self.value))
        scores = (query * self.head_size**-0.5) @ key.transpose(-1, -2)  # [B, heads, S, S]
        if mask is not None:
            scores = scores + (~mask).to(scores.dtype) * -1e4
        mixed = torch.softmax(scores, -1, dtype=scores.dtype) @ value
        return mixed.transpose(1, 2).flatten(2)


class TrainedBert(nn.Module):
    """BERT for question answering, with the heads that predict `TrainBatch.marks`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertForQuestionAnswering(config)
        self.marks = nn.Linear(config.hidden_size, 2)
        initialise(self.bert, config)
        for attention in attentions(self.bert):
            attention.__class__ = PlainAttention

    def forward(self, batch: TrainBatch) -> tuple[Tensor, Tensor]:
        """The loss, and the number of exactly right spans."""
        with torch.autocast("cpu", torch.bfloat16):
            states = list(
                self.bert.bert.hidden_states(batch.input_ids, batch.token_type_ids, batch.mask, batch.position_ids)
            )
        logits = self.bert.qa_outputs(states[-1].float()).masked_fill(~batch.mask[..., None], -1e4)
        loss = F.cross_entropy(logits, batch.spans)  # over tokens, the middle dimension of [B, S, 2]
        marks = F.binary_cross_entropy_with_logits(self.marks(states[-2].float()), batch.marks, reduction="none")
        passage = batch.token_type_ids[..., None] * batch.mask[..., None]
        right = (logits.argmax(1) == batch.spans).all(1).sum()
        return loss + MARK_WEIGHT * (marks * passage).sum() / passage.sum(), right
