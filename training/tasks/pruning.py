"""Gradual magnitude pruning of an encoder, in blocks that sparse kernels know, or by whole heads and neurons.

A schedule says how much is zero after each step (s · (1 - (1 - t)³), Zhu and Gupta, arXiv:1710.01878): fast at first,
where much can be spared, slow at the end. The pieces with the smallest squares go first. What is zero stays zero; the
rest is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from backends.bert import layer_widths
from backends.bert.config import BertConfig
from training.tasks.phases import Phase
from training.tasks.sparsity import Part, Sparsity, Unit, prunable

_NAME = "pruning"
_UPDATES = 50  # of the masks


class Pruning(Phase):
    """Makes pieces of a network's encoder zero, step by step.

    Args:
        last_step: after which the share is reached.
    """

    def __init__(self, network: nn.Module, config: BertConfig, sparsity: Sparsity, *, last_step: int) -> None:
        super().__init__(network, _NAME, last_step)
        self.sparsity, self.every = sparsity, max(1, last_step // _UPDATES)
        parameters = dict(network.named_parameters())
        self._units = {  # in a dictionary: no modules of this one, which would be in the state twice
            unit: [(part, parameters[part.name]) for part in unit.parts] for unit in sparsity.units(config)
        }
        for unit, (first, *_) in self._units.items():
            self.register_buffer(_buffer(unit), torch.ones(_blocks(*first).shape[::2], dtype=torch.bool))

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
        for unit, parts in self._units.items():
            kept = getattr(self, _buffer(unit))
            for part, weight in parts:
                blocks = _blocks(part, weight.data)
                blocks.mul_(kept.view(blocks.shape[::2])[:, None, :, None])

    def _choose(self, share: float) -> None:
        sizes = {unit: _sizes(parts) for unit, parts in self._units.items()}
        is_global = self.sparsity.scope == "global"
        groups: dict[str, list[Unit]] = {}
        for unit in sizes:
            groups.setdefault(unit.kind if is_global else unit.name, []).append(unit)
        for group in groups.values():
            ranked = torch.cat([sizes[unit] for unit in group])
            gone = torch.zeros(len(ranked), dtype=torch.bool, device=ranked.device)
            gone[ranked.argsort(stable=True)[: round(share * len(ranked))]] = True
            for unit, part in zip(group, torch.split(gone, [len(sizes[unit]) for unit in group]), strict=True):
                kept = getattr(self, _buffer(unit))
                kept.copy_(~part.view(kept.shape))

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights, zeros in place."""
        return {name: one for name, one in weights.items() if not name.startswith(f"{_NAME}.")}


def _blocks(part: Part, weight: Tensor) -> Tensor:
    """A view of [N, K] as [N / rows, rows, K / columns, columns]."""
    outputs, rows, columns = len(weight), part.rows, part.columns
    return weight.view(outputs // rows, rows, weight.numel() // outputs // columns, columns)


def _sizes(parts: list[tuple[Part, nn.Parameter]]) -> Tensor:
    """The sum of squares of each piece, in all of its parts."""
    return torch.stack([_blocks(*one).square().sum((1, 3)).flatten() for one in parts]).sum(0)


def _buffer(unit: Unit) -> str:
    return unit.name.replace(".", "_")


def zeros(weights: Mapping[str, Tensor], config: BertConfig) -> dict[str, float]:
    """The share of zeros of each product, by its name below `bert.encoder.layer.`, and of all as "all"."""
    found = {name: (weights[name] == 0).double().mean().item() for name in prunable(config)}
    count = {name: weights[name].numel() for name in found}
    total = sum(found[name] * count[name] for name in found) / sum(count.values())
    short = {name.removeprefix("bert.encoder.layer.").removesuffix(".weight"): one for name, one in found.items()}
    return {"all": total, **short}


def widths(weights: Mapping[str, Tensor], config: BertConfig) -> dict[str, str]:
    """Heads and neurons that are not zero, layer by layer, such as "2, 1 of 4"; empty where all are there."""
    readers = (layer_widths.HEADS_READER, layer_widths.NEURONS_READER)
    found = [
        layer_widths.of(config, *(weights[config.layer_name(layer) + name].numpy() for name in readers))
        for layer in range(config.num_hidden_layers)
    ]
    if layer_widths.together(config, found) is None:
        return {}
    counts = {"heads": [len(one.heads) for one in found], "neurons": [len(one.neurons) for one in found]}
    wholes = {"heads": config.num_attention_heads, "neurons": config.intermediate_size}
    return {name: f"{', '.join(map(str, each))} of {wholes[name]}" for name, each in counts.items()}
