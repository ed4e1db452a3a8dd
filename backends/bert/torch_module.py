"""BERT for question answering and for classification in PyTorch, one readable file.

Parameters have Hugging Face's names, so a checkpoint loads with `load_state_dict(strict=True)` without renaming. The
pooler exists only with the head that reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.bert.heads import CLASSES, COLUMNS

if TYPE_CHECKING:
    from backends.bert.config import BertConfig


class Embeddings(nn.Module):
    """The sum of a token's three embeddings, normalized: int64 [B, S] → float32 [B, S, H]."""

    def __init__(self, config: BertConfig, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout: nn.Module = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor | None) -> Tensor:
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)  # [B, S, H]
        return self.dropout(self.LayerNorm(x + self.position_embeddings(position_ids)))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Attention of every token to those that the mask lets through, [B, S, H] → [B, S, H], heads side by side."""

    def __init__(self, config: BertConfig, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_size, self.dropout = config.num_attention_heads, config.head_size, dropout
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (self._split(linear(x)) for linear in (self.query, self.key, self.value))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return mixed.transpose(1, 2).flatten(2)  # [B, heads, S, head] -> [B, S, H]

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, self.head_size).transpose(1, 2)  # [B, heads, S, head]


class Residual(nn.Module):
    """LayerNorm(projection + residual), which ends both halves of a layer."""

    def __init__(self, width: int, config: BertConfig, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention with its output layer and the residual around both."""

    def __init__(self, config: BertConfig, dropout: float) -> None:
        super().__init__()
        self.self = SelfAttention(config, dropout)
        self.output = Residual(config.hidden_size, config, dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(x, mask), x)  # type: ignore[no-any-return]


class Intermediate(nn.Module):
    """The wide half of the feed-forward layers, [B, S, H] → [B, S, I]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))  # the exact form, through erf


class EncoderLayer(nn.Module):
    """Attention, then feed-forward layers, [B, S, H] → [B, S, H]."""

    def __init__(self, config: BertConfig, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(config, dropout)
        self.intermediate = Intermediate(config)
        self.output = Residual(config.intermediate_size, config, dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """The layers, under Hugging Face's names; whoever runs them loops over `layer`."""

    def __init__(self, config: BertConfig, dropout: float, layer: type[EncoderLayer]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layer(config, dropout) for _ in range(config.num_hidden_layers))


class Pooler(nn.Module):
    """The first token's state through a square layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.dense(x[:, 0]))  # [B, S, H] -> [B, H]


class Bert(nn.Module):
    """Embeddings and encoder, and the pooler for a head that reads it."""

    def __init__(self, config: BertConfig, dropout: float, layer: type[EncoderLayer] = EncoderLayer) -> None:
        super().__init__()
        if config.hidden_act != "gelu":
            raise ValueError(f"hidden_act {config.hidden_act!r} is not supported; BERT's is 'gelu'")
        self.embeddings = Embeddings(config, dropout)
        self.encoder = Encoder(config, dropout, layer)
        if config.head == CLASSES:
            self.pooler = Pooler(config)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The output of the last layer, [B, S, H]."""
        for x in self.hidden_states(input_ids, token_type_ids, attention_mask):  # noqa: B007 - only the last one is returned
            pass
        return x

    def hidden_states(
        self,
        input_ids: Tensor,  # [B, S] int64
        token_type_ids: Tensor,  # [B, S] 0 question, 1 passage
        attention_mask: Tensor | None = None,  # [B, S] bool, False at padding; None: no padding
        position_ids: Tensor | None = None,  # [B, S]; None counts from 0
    ) -> Iterator[Tensor]:
        """The output of each layer, [B, S, H], as an iterator, so that only one is in memory."""
        mask = None if attention_mask is None else attention_mask[:, None, None, :]  # over heads and queries
        x = self.embeddings(input_ids, token_type_ids, position_ids)
        for layer in self.encoder.layer:
            x = layer(x, mask)
            yield x


class BertForQuestionAnswering(nn.Module):
    """Token ids in, a start and an end logit for every token out."""

    def __init__(self, config: BertConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.bert = Bert(config, dropout)
        self.qa_outputs = nn.Linear(config.hidden_size, COLUMNS)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """float32 [B, S, 2]; the arguments are those of `Bert.hidden_states`."""
        return self.qa_outputs(self.bert(input_ids, token_type_ids, attention_mask)).float()  # type: ignore[no-any-return]


class BertForSequenceClassification(nn.Module):
    """Token ids in, two class logits for every sample out. `config.head` is CLASSES."""

    def __init__(self, config: BertConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.bert = Bert(config, dropout)
        self.classifier = nn.Linear(config.hidden_size, COLUMNS)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """float32 [B, 2]; the arguments are those of `Bert.hidden_states`."""
        pooled = self.bert.pooler(self.bert(input_ids, token_type_ids, attention_mask))
        return self.classifier(pooled).float()  # type: ignore[no-any-return]
