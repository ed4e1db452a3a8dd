"""LAMB and its schedule against the rule of the MLPerf reference, written out in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from foundation.arrays import Float64
from training.optimizers import norms
from training.optimizers.lamb import Lamb, parameter_groups
from training.optimizers.schedule import Schedule

RATE, BETAS, EPS, DECAY = 0.02, (0.83, 0.925), 1e-6, 0.01


class Named(nn.Module):
    """Parameters under the names that decide about decay; `zero` has |w| = 0 and so a trust ratio of 1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.dense = nn.Linear(5, 7)
        self.LayerNorm = nn.LayerNorm(7)
        self.output_bias = nn.Parameter(torch.randn(11))
        self.zero = nn.Parameter(torch.zeros(3, 2))
        self.still = nn.Parameter(torch.randn(2), requires_grad=False)


def by_the_rule(weights: dict[str, Float64], gradients: list[dict[str, Float64]]) -> dict[str, Float64]:
    means = {name: np.zeros_like(one) for name, one in weights.items()}
    squares = {name: np.zeros_like(one) for name, one in weights.items()}
    for t, step in enumerate(gradients, 1):
        norm = math.sqrt(sum(float((one**2).sum()) for one in step.values()))
        for name, w in weights.items():
            g = step[name] / max(norm, 1.0)
            means[name] = BETAS[0] * means[name] + (1 - BETAS[0]) * g
            squares[name] = BETAS[1] * squares[name] + (1 - BETAS[1]) * g * g
            u = means[name] / (1 - BETAS[0] ** t) / (np.sqrt(squares[name] / (1 - BETAS[1] ** t)) + EPS)
            ratio = 1.0
            if not any(word in name for word in ("LayerNorm", "bias")):
                u = u + DECAY * w
                of_w, of_u = np.linalg.norm(w), np.linalg.norm(u)
                ratio = float(of_w / of_u) if of_w > 0 and of_u > 0 else 1.0
            weights[name] = w - RATE * ratio * u
    return weights


@pytest.mark.parametrize("size", [0.1, 30.0], ids=["not clipped", "clipped"])
def test_five_steps_follow_the_rule(size: float) -> None:
    network = Named()
    trained = {name: one for name, one in network.named_parameters() if one.requires_grad}
    draw = np.random.default_rng(2)
    gradients = [{name: size * draw.normal(size=tuple(one.shape)) for name, one in trained.items()} for _ in range(5)]
    expected = by_the_rule({name: one.detach().double().numpy() for name, one in trained.items()}, gradients)
    optimizer = Lamb(parameter_groups(network, DECAY), RATE, BETAS, EPS)
    for step in gradients:
        for name, one in trained.items():
            one.grad = torch.from_numpy(step[name]).float()
        found = [one.grad for one in trained.values() if one.grad is not None]
        norms.clip(found, norms.global_norm(found), 1.0)
        optimizer.step()
    for name, one in trained.items():
        np.testing.assert_allclose(one.detach().numpy(), expected[name], rtol=2e-5, atol=2e-6, err_msg=name)


def test_weights_without_gradient_and_decay_stay() -> None:
    weight = nn.Parameter(torch.randn(3, 2))
    before, weight.grad = weight.detach().clone(), torch.zeros(3, 2)
    Lamb([weight], RATE, weight_decay=0.0).step()
    assert torch.equal(weight, before)


def test_a_norm_includes_the_loss_scale() -> None:
    gradients = [torch.tensor([300.0, 400.0])]
    norms.clip(gradients, norms.global_norm(gradients) / 100, 1.0, 100)
    assert gradients[0].tolist() == pytest.approx([0.6, 0.8])


# base 1.0, 100 warm-up steps of 1,000: the rate of the reference's global step 0, 1, 50, 99, 100, 999, 1000
@pytest.mark.parametrize(
    ("start", "counted_from", "rates"),
    [
        (0, 0, [0.0, 0.01, 0.5, 0.99, 0.9, 0.001, 0.0]),
        (-25, 0, [0.25, 0.26, 0.75, 0.901, 0.9, 0.001, 0.0]),
        (-25, 1, [0.26, 0.27, 0.76, 0.9, 0.899, 0.0, 0.0]),
        (20, 0, [-0.2, -0.19, 0.3, 0.79, 0.8, 0.001, 0.0]),
    ],
)
def test_the_rate_decays_from_step_0(start: int, counted_from: int, rates: list[float]) -> None:
    rate = Schedule(base=1.0, warmup_steps=100, max_steps=1000, start_step=start, counted_from=counted_from)
    assert [rate(step + 1) for step in (0, 1, 50, 99, 100, 999, 1000)] == pytest.approx(rates)
