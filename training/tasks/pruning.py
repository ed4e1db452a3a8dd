"""Gradual magnitude pruning of an encoder's products, in patterns that sparse kernels know.

A schedule says how much is zero after each step (s · (1 - (1 - t)³), Zhu and Gupta, arXiv:1710.01878): fast at first,
where much can be spared, slow at the end. Blocks of the smallest squares go first. What is zero stays zero; the rest is
trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from backends.bert.config import SOURCES, BertConfig
from training.tasks.phases import Phase
from training.tasks.sparsity import PATTERNS, Sparsity

_NAME = "pruning"
_UPDATES = 50  # of the masks


class Pruning(Phase):
    """Makes blocks of a network's encoder zero, step by step.

    Args:
        last_step: after which the share is reached.
    """

    def __init__(self, network: nn.Module, config: BertConfig, sparsity: Sparsity, *, last_step: int) -> None:
        super().__init__(network, _NAME, last_step)
        self.sparsity, self.every = sparsity, max(1, last_step // _UPDATES)
        parameters = dict(network.named_parameters())
        self._weights = {name: parameters[name] for name in prunable(config)}  # no modules: not in the state twice
        for name, weight in self._weights.items():
            kept = torch.ones(_blocks(weight, sparsity.pattern).shape[::2], dtype=torch.bool)
            self.register_buffer(_buffer(name), kept)

    def share_after(self, step: int) -> float:
        """The share of zeros after a step."""
        progress = min(1.0, step / max(1, self.last_step))
        return float(self.sparsity.share * (1 - (1 - progress) ** 3))

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Prune more, if it is time, and make zero what was pruned."""
        super().after_step(step)
        if 0 < step <= self.last_step and (step % self.every == 0 or step == self.last_step):
            self._choose(self.share_after(step))
        for name, weight in self._weights.items():
            kept = getattr(self, _buffer(name))
            _blocks(weight.data, self.sparsity.pattern).mul_(kept[:, None, :, None])

    def _choose(self, share: float) -> None:
        sizes = {name: _blocks(one, self.sparsity.pattern).square().sum((1, 3)) for name, one in self._weights.items()}
        groups = [list(sizes)] if self.sparsity.scope == "global" else [[name] for name in sizes]
        for group in groups:
            ranked = torch.cat([sizes[name].flatten() for name in group])
            gone = torch.zeros(len(ranked), dtype=torch.bool, device=ranked.device)
            gone[ranked.argsort(stable=True)[: round(share * len(ranked))]] = True
            parts = torch.split(gone, [sizes[name].numel() for name in group])
            for name, part in zip(group, parts, strict=True):
                getattr(self, _buffer(name)).copy_(~part.view(sizes[name].shape))

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights, zeros in place."""
        return {name: one for name, one in weights.items() if not name.startswith(f"{_NAME}.")}


def prunable(config: BertConfig) -> Iterator[str]:
    """The names of an encoder's weight matrices, layer by layer."""
    for layer in range(config.num_hidden_layers):
        for sources in SOURCES.values():
            yield from (f"bert.encoder.layer.{layer}.{source}.weight" for source in sources)


def _blocks(weight: Tensor, pattern: str) -> Tensor:
    """A view of [N, K] as [N / rows, rows, K / columns, columns]."""
    rows, columns = PATTERNS[pattern]
    return weight.view(weight.shape[0] // rows, rows, weight.shape[1] // columns, columns)


def _buffer(name: str) -> str:
    return name.replace(".", "_")


def zeros(weights: Mapping[str, Tensor], config: BertConfig) -> dict[str, float]:
    """The share of zeros of each product, by its name below `bert.encoder.layer.`, and of all as "all"."""
    found = {name: (weights[name] == 0).double().mean().item() for name in prunable(config)}
    count = {name: weights[name].numel() for name in found}
    total = sum(found[name] * count[name] for name in found) / sum(count.values())
    short = {name.removeprefix("bert.encoder.layer.").removesuffix(".weight"): one for name, one in found.items()}
    return {"all": total, **short}
