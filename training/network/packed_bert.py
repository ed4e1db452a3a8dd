"""BERT on packed batches: the parameters of `backends.bert.torch_module`, and a forward pass without padding.

Parameters have Hugging Face's names, so that weights go both ways without renaming.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from backends.bert.config import BertConfig
from backends.bert.torch_module import Bert, EncoderLayer, Pooler, Residual
from training.network.attention import attend
from training.network.dropout import Dropout, dropout_add_norm
from training.network.linear import linear, linear_gelu, through
from training.network.packed_batch import PackedBatch, PretrainingBatch
from training.network.rounding import LayerRounding

_MLM_EPS = 1e-12  # of the masked LM head's LayerNorm, whatever the encoder's


class PackedLayer(EncoderLayer):
    """An encoder layer on packed samples, [T, H] → [T, H]; `rounding` is there in quantization-aware training."""

    rounding: LayerRounding | None

    def __init__(self, config: BertConfig, dropout: float) -> None:
        super().__init__(config, dropout)
        self.register_module("rounding", None)

    def forward(self, x: Tensor, batch: PackedBatch) -> Tensor:  # type: ignore[override]  # no padding, so no mask
        own = self.attention.self
        linears = (own.query, own.key, own.value)
        weight, bias = (torch.cat([getattr(one, name) for one in linears]) for name in ("weight", "bias"))
        rounding = self.rounding if self.rounding is not None and self.rounding.is_on else None
        qkv = rounding("qkv", x, weight, bias) if rounding else linear(x, weight, bias)  # [T, 3H]
        mixed = attend(qkv, batch, own.heads, own.dropout if self.training else 0.0)
        if rounding:
            return self._rounded(rounding, mixed, x)
        x = self._end(self.attention.output, through(self.attention.output.dense, mixed), x)
        inner = linear_gelu(self.intermediate.dense, x)
        return self._end(self.output, through(self.output.dense, inner), x)

    def _rounded(self, rounding: LayerRounding, mixed: Tensor, x: Tensor) -> Tensor:
        out, first, second = self.attention.output.dense, self.intermediate.dense, self.output.dense
        x = self._end(self.attention.output, rounding("attention_output", mixed, out.weight, out.bias), x)
        inner = F.gelu(rounding("ffn_inner", x, first.weight, first.bias))
        return self._end(self.output, rounding("ffn_output", inner, second.weight, second.bias), x)

    def _end(self, end: Residual, projected: Tensor, residual: Tensor) -> Tensor:
        return dropout_add_norm(projected, residual, end.LayerNorm, end.dropout.p if self.training else 0.0)


class PackedBert(Bert):
    """The encoder: a packed batch → the last layer's states [T, H]. Tasks put their heads on it.

    `checkpointed` holds only the input of each layer for the backward pass, and computes the layer once more there.
    The pooler is there with the heads that read it (`BertForPreTraining`, and CLASSES by `config.head`).
    """

    def __init__(self, config: BertConfig, dropout: float = 0.1, *, checkpointed: bool = False) -> None:
        super().__init__(config, dropout, layer=PackedLayer)
        self.checkpointed = checkpointed
        self.embeddings.dropout = Dropout(dropout)

    def forward(self, batch: PackedBatch) -> Tensor:  # type: ignore[override]  # packed
        whole = batch.filled
        x: Tensor = self.embeddings(whole.input_ids, whole.token_type_ids, whole.position_ids)
        for layer in self.encoder.layer:
            if self.checkpointed and self.training:
                x = checkpoint(layer, x, whole, use_reentrant=False)
            else:
                x = layer(x, whole)
        return x if whole is batch else x[: len(batch.input_ids)]

    def compile_layers(self) -> None:
        """Compile what surrounds attention with torch.compile, once for all layers, at the first batch.

        On a CPU (AVX-512, BERT-Base, fp32) a step takes 3 % less and the first one a minute more.
        """
        for layer in self.encoder.layer:
            layer.compile(dynamic=True)

    def pooled(self, states: Tensor, batch: PackedBatch) -> Tensor:
        """[T, H] → [B, H], the first token of each sample through the pooler."""
        first: Tensor = states[batch.first_tokens]
        return self.pooler(first[:, None])  # type: ignore[no-any-return]


class PredictionTransform(nn.Module):
    """The square layer of the masked LM head, [M, H] → [M, H]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=_MLM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))  # type: ignore[no-any-return]


class Predictions(nn.Module):
    """Masked LM logits, [M, H] → [M, V]; the decoder's weight is the table of word embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        x = self.transform(x)
        if not words.is_cuda:
            return F.linear(x, words, self.bias)
        return F.linear(x, _to_eight(words), _to_eight(self.bias))[:, : len(words)]


def _to_eight(rows: Tensor) -> Tensor:
    """With rows of zeros up to a multiple of 8, without which a GPU's product does not use its matrix cores."""
    return F.pad(rows, (*[0] * (2 * rows.dim() - 1), -len(rows) % 8))


class PretrainingHeads(nn.Module):
    """Masked LM and next sentence prediction, under Hugging Face's names."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = Predictions(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


class BertForPreTraining(nn.Module):
    """BERT with both heads of pre-training; masked LM is computed at masked positions only."""

    def __init__(self, config: BertConfig, dropout: float = 0.1, *, checkpointed: bool = False) -> None:
        super().__init__()
        self.bert = PackedBert(config, dropout, checkpointed=checkpointed)
        self.bert.pooler = Pooler(config)
        self.cls = PretrainingHeads(config)

    def forward(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """(masked LM logits [M, V], next sentence logits [B, 2])."""
        states = self.bert(batch)
        words = self.bert.embeddings.word_embeddings.weight
        masked = self.cls.predictions(states[batch.masked_index], words)
        return masked, self.cls.seq_relationship(self.bert.pooled(states, batch))
