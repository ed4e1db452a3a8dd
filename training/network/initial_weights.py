"""A BERT's initial weights: BERT's own, and others with which a small model learns within minutes.

Three properties save most of a small model's training. Positions are sinusoids, so that distance means the same at
every position. The first layers' queries equal their keys, so that equal words attend to each other from the start.
For masked LM, the first layer's heads look at neighbours instead: without any such head a model stays for long with
the plateau at which it knows how frequent words are, and nothing of their context.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from backends.bert.config import BertConfig
from backends.bert.torch_module import Embeddings, EncoderLayer, SelfAttention

TIED_LAYERS = 2
BERT_STD = 0.02
NEIGHBOURS = (-1, 1, -2, 2)  # of a head each, in turn
_MOST_SEEN = 8
_NATS = 3.0  # by which a head prefers the token at its offset to the ones next to it


def attentions(network: nn.Module) -> list[SelfAttention]:
    """In the order of the layers."""
    return [module for module in network.modules() if isinstance(module, SelfAttention)]


@torch.no_grad()
def bert(network: nn.Module, config: BertConfig) -> None:
    """Set BERT's own initial weights in place: a normal distribution, cut off at two deviations; biases are 0."""
    del config
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(module.weight, std=BERT_STD, a=-2 * BERT_STD, b=2 * BERT_STD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def matching(network: nn.Module, config: BertConfig) -> None:
    """Set weights in place with which the first layers' heads attend to equal words."""
    scale = config.hidden_size**-0.5
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5 * scale)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=scale)
        elif isinstance(module, Embeddings):
            positions = module.position_embeddings
    positions.weight.copy_(_sinusoids(config) * scale)
    for attention in attentions(network)[:TIED_LAYERS]:
        nn.init.normal_(attention.query.weight, std=scale)
        attention.key.weight.copy_(attention.query.weight)


@torch.no_grad()
def neighbours(network: nn.Module, config: BertConfig) -> None:
    """Like `matching`, with heads of the first layer that look at neighbours, and attention that counts for more."""
    matching(network, config)
    scale = config.hidden_size**-0.5
    for layer in (module for module in network.modules() if isinstance(module, EncoderLayer)):
        nn.init.normal_(layer.attention.self.value.weight, std=scale)
        nn.init.normal_(layer.attention.output.dense.weight, std=scale)
    embeddings = next(module for module in network.modules() if isinstance(module, Embeddings))
    _set_apart(embeddings, _seen(config), config.hidden_size)
    first = attentions(network)[0]
    for head in range(first.heads):
        rows = slice(head * first.head_size, (head + 1) * first.head_size)
        offset = NEIGHBOURS[head % len(NEIGHBOURS)]
        first.query.weight[rows] = _positions_seen_from(offset, config)
        first.key.weight[rows] = _positions_seen_from(0, config)


# Of masked-LM pre-training, by the setting's value.
INITIAL_WEIGHTS: dict[str, Callable[[nn.Module, BertConfig], None]] = {"bert": bert, "early": neighbours}


def _set_apart(embeddings: Embeddings, seen: range, hidden: int) -> None:
    """Leave the dimensions of the `seen` sinusoids to positions, and all means at 0: LayerNorm then moves nothing."""
    kept = torch.zeros(hidden, dtype=torch.bool)
    kept[[*seen, *(hidden // 2 + one for one in seen)]] = True
    for table in (embeddings.word_embeddings, embeddings.token_type_embeddings, embeddings.position_embeddings):
        if table is not embeddings.position_embeddings:
            table.weight[:, kept] = 0
        table.weight[:, ~kept] -= table.weight.sum(1, keepdim=True) / int((~kept).sum())


def _seen(config: BertConfig) -> range:
    """The sinusoids, from the fastest, by which a head knows an offset; words leave their dimensions empty."""
    return range(min(_MOST_SEEN, config.head_size // 2))


def _positions_seen_from(offset: int, config: BertConfig) -> Tensor:
    """A head's query or key [head, H]: the fastest sinusoids of the position `offset` tokens further.

    A query's product with a key for offset 0 is Σ cos(rate · (distance - offset)), the largest where the distance is
    the offset, and smaller by _NATS next to it.
    """
    seen, half = torch.tensor(_seen(config)), config.hidden_size // 2
    rates = _rates(config)[seen]
    sine, cosine = (offset * rates).sin(), (offset * rates).cos()
    found = torch.zeros(config.head_size, config.hidden_size)
    found[seen, seen], found[seen, half + seen] = cosine, sine  # sin(a + b) = sin a cos b + cos a sin b
    found[len(seen) + seen, half + seen], found[len(seen) + seen, seen] = cosine, -sine
    lost = float((1 - rates.cos()).sum()) * config.head_size**-0.5  # one token from the offset
    return found * math.sqrt(_NATS / lost)


def _rates(config: BertConfig) -> Tensor:
    half = config.hidden_size // 2
    return torch.exp(torch.arange(half) * (-math.log(1000.0) / half))


def _sinusoids(config: BertConfig) -> Tensor:
    angles = torch.arange(config.max_position_embeddings)[:, None] * _rates(config)
    return torch.cat([angles.sin(), angles.cos()], 1)
