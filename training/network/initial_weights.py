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
_SHARPNESS = 1.5


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
    first = attentions(network)[0]
    for head in range(first.heads):
        rows = slice(head * first.head_size, (head + 1) * first.head_size)
        key, query = (_positions_seen_from(offset, config) for offset in (0, NEIGHBOURS[head % len(NEIGHBOURS)]))
        key_rows, query_rows = first.key.weight[rows], first.query.weight[rows]
        key_rows.copy_(key)
        query_rows.copy_(query)


# Of masked-LM pre-training, by the setting's value.
INITIAL_WEIGHTS: dict[str, Callable[[nn.Module, BertConfig], None]] = {"bert": bert, "early": neighbours}


def _positions_seen_from(offset: int, config: BertConfig) -> Tensor:
    """A head's query or key [head, H]: the fastest sinusoids of the position `offset` tokens further.

    A query's product with a key for offset 0 is Σ cos(rate · (distance - offset)), the largest where the distance is
    the offset.
    """
    pairs, half = config.head_size // 2, config.hidden_size // 2
    angles = offset * _rates(config)[:pairs]
    found = torch.zeros(config.head_size, config.hidden_size)
    row = torch.arange(pairs)
    found[row, row], found[row, half + row] = angles.cos(), angles.sin()  # sin(a + b) = sin a cos b + cos a sin b
    found[pairs + row, half + row], found[pairs + row, row] = angles.cos(), -angles.sin()
    return found * _SHARPNESS


def _rates(config: BertConfig) -> Tensor:
    half = config.hidden_size // 2
    return torch.exp(torch.arange(half) * (-math.log(1000.0) / half))


def _sinusoids(config: BertConfig) -> Tensor:
    angles = torch.arange(config.max_position_embeddings)[:, None] * _rates(config)
    return torch.cat([angles.sin(), angles.cos()], 1)
