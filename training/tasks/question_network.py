"""The question answering network in training: BERT with auxiliary heads below its last layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from accuracy.log import PAD_LOGIT
from backends.bert.config import BertConfig
from backends.bert.heads import COLUMNS
from training.network import initial_weights
from training.network.packed_batch import PackedBatch
from training.network.packed_bert import PackedBert
from training.tasks.question_samples import QuestionBatch


class QuestionNetwork(nn.Module):
    """`backends.bert.torch_module.BertForQuestionAnswering` on packed batches, with the heads that predict marks."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = PackedBert(config, dropout=0.0)
        self.qa_outputs = nn.Linear(config.hidden_size, COLUMNS)
        self.marks = nn.Linear(config.hidden_size, 2)
        initial_weights.matching(self, config)

    def forward(self, batch: PackedBatch) -> tuple[Tensor, Tensor | None]:
        """(start and end logits [T, 2], logits of the passages' marks [P, 2]; None for a batch without)."""
        x: Tensor = self.bert.embeddings(batch.input_ids, batch.token_type_ids, batch.position_ids)
        for layer in self.bert.encoder.layer:
            below, x = x, layer(x, batch)
        marks = self.marks(below[batch.passage_index]).float() if isinstance(batch, QuestionBatch) else None
        return self.qa_outputs(x).float(), marks


def span_loss(logits: Tensor, batch: QuestionBatch) -> Tensor:
    """Cross-entropy of starts and ends over each sample's tokens: their mean, summed over samples."""
    return F.cross_entropy(batch.padded(logits, PAD_LOGIT), batch.spans, reduction="sum") / COLUMNS


def exact_spans(logits: Tensor, batch: QuestionBatch) -> Tensor:
    """How many spans are exactly right."""
    return (batch.padded(logits.detach(), PAD_LOGIT).argmax(1) == batch.spans).all(1).sum()
