"""LAMB as the MLPerf reference has it: Adam's step, for each tensor as long as its weights say.

    u = (m / (1 - β1^t)) / (√(v / (1 - β2^t)) + ε)
    where decayed: u += λ·w, r = |w| / |u| if both are above 0, else 1;    elsewhere: r = 1
    w -= rate · r · u

Biases and LayerNorm have neither decay nor trust ratio. Gradients come clipped (`norms.clip`). Sources:
https://arxiv.org/abs/1904.00962; mlcommons/training, retired_benchmarks/bert: lamb_optimizer_v1.py, optimization.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.optimizers.norms import local, squared_norms

_NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")  # in a parameter's name


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """A network's trained parameters, those with weight decay first; the rest is biases and LayerNorm."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[not any(word in name for word in _NOT_DECAYED)].append(parameter)
    decay = {True: weight_decay, False: 0.0}
    return [
        {"params": found, "weight_decay": decay[is_decayed], "trust_ratio": is_decayed}
        for is_decayed, found in groups.items()
        if found
    ]


class Lamb(Optimizer):
    """LAMB over groups with `trust_ratio`, as `parameter_groups` makes them; also on the DTensors of `fully_shard`.

    Args:
        lr: of groups without their own; set it before each step (`schedule`).
        eps: outside of the root.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        trust_ratio: bool = True,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "trust_ratio": trust_ratio}
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of all parameters with a gradient."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            if parameters := [one for one in group["params"] if one.grad is not None]:
                self._update(group, parameters)
        return loss

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self._state(one) for one in parameters]
        weights, gradients = local(parameters), local([_gradient(one) for one in parameters])
        means, squares = (local([state[key] for state in states]) for key in ("exp_avg", "exp_avg_sq"))
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        updates = list(torch._foreach_mul(weights, group["weight_decay"]))
        beta_1, beta_2 = group["betas"]
        # Adam's fused kernel takes one pass. At a rate of -1 it adds its step to what is in `updates`.
        torch._fused_adam_(
            updates, gradients, means, squares, [], steps,
            lr=-1.0, beta1=beta_1, beta2=beta_2, weight_decay=0.0, eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip
        if not group["trust_ratio"]:
            torch._foreach_add_(weights, updates, alpha=-group["lr"])
            return
        rates = _ratios(parameters, updates) * -group["lr"]
        for weight, update, rate in zip(weights, updates, rates.unbind(), strict=True):
            weight.addcmul_(update, rate)

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _ratios(parameters: list[Tensor], updates: list[Tensor]) -> Tensor:
    """[parameters]: |w| / |u|, and 1 where either is 0."""
    of_weights, of_updates = squared_norms([*parameters, *updates]).sqrt().chunk(2)
    return torch.where((of_weights > 0) & (of_updates > 0), of_weights / of_updates, 1.0)
