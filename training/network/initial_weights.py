"""A BERT's initial weights.

Two properties save most of the training: position embeddings are sinusoids, so that distance means the same at every
position, and the first layers' queries equal their keys, so that equal words attend to each other from the start.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from backends.bert.config import BertConfig
from backends.bert.torch_module import BertForQuestionAnswering, BertForSequenceClassification, SelfAttention

TIED_LAYERS = 2


def attentions(model: nn.Module) -> list[SelfAttention]:
    return [module for module in model.modules() if isinstance(module, SelfAttention)]


@torch.no_grad()
def initialise(model: BertForQuestionAnswering | BertForSequenceClassification, config: BertConfig) -> None:
    """Set the initial weights in place."""
    scale = config.hidden_size**-0.5
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5 * scale)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=scale)
    model.bert.embeddings.position_embeddings.weight.copy_(_sinusoids(config) * scale)
    for attention in attentions(model)[:TIED_LAYERS]:
        nn.init.normal_(attention.query.weight, std=scale)
        attention.key.weight.copy_(attention.query.weight)


def _sinusoids(config: BertConfig) -> Tensor:
    half = config.hidden_size // 2
    rates = torch.exp(torch.arange(half) * (-math.log(1000.0) / half))
    angles = torch.arange(config.max_position_embeddings)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
