"""Gradual pruning: how much is zero when, in which blocks, heads or neurons, and that it stays zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backends.bert.config import BertConfig
from sut.errors import UsageError
from training.tasks import pruning
from training.tasks.pruning import Pruning
from training.tasks.sparsity import BLOCKS, SCOPES, Sparsity, prunable
from training.tasks.squad import SpanNetwork

TINY = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)


def network() -> SpanNetwork:
    torch.manual_seed(1)
    return SpanNetwork(TINY, 0.0)


def shares(phase: Pruning, found: SpanNetwork, step: int) -> dict[str, float]:
    phase.after_step(step)
    return pruning.zeros(found.state_dict(), TINY)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("pattern", sorted(BLOCKS))
def test_zeros_come_in_whole_blocks_to_the_share(pattern: str, scope: str) -> None:
    found = network()
    dense = {name: one.clone() for name, one in found.state_dict().items()}
    phase = Pruning(found, TINY, Sparsity(share=0.75, pattern=pattern, scope=scope), last_step=10)
    of_layers = [share for name, share in shares(phase, found, 10).items() if name != "all"]
    assert pruning.zeros(found.state_dict(), TINY)["all"] == pytest.approx(0.75, abs=0.002)
    assert (max(of_layers) - min(of_layers) < 0.01) == (scope == "layer")
    rows, columns = BLOCKS[pattern]
    for name in prunable(TINY):
        weight = found.state_dict()[name].numpy()
        blocks = (weight != 0).reshape(len(weight) // rows, rows, -1, columns).sum((1, 3))
        assert np.isin(blocks, (0, 4)).all()
        kept = weight != 0
        assert (weight[kept] == dense[name].numpy()[kept]).all()
    if scope == "layer":
        squares = dense["bert.encoder.layer.0.output.dense.weight"].square().numpy()
        sizes = squares.reshape(16 // rows, rows, 32 // columns, columns).sum((1, 3))
        gone = found.state_dict()["bert.encoder.layer.0.output.dense.weight"].numpy() == 0
        gone = gone.reshape(16 // rows, rows, 32 // columns, columns).all((1, 3))
        assert sizes[gone].max() < sizes[~gone].min()


@pytest.mark.parametrize(
    ("scope", "heads", "neurons"), [("layer", "1, 1 of 2", "16, 16 of 32"), ("global", "0, 2 of 2", "0, 32 of 32")]
)
def test_whole_heads_and_neurons_go(scope: str, heads: str, neurons: str) -> None:
    found = network()
    with torch.no_grad():
        for name, one in found.named_parameters():
            if name.endswith(".bias"):
                one.add_(1.0)
            if "layer.0" in name:
                one.mul_(0.1)  # globally, all that goes is there
    dense = {name: one.clone() for name, one in found.state_dict().items()}
    sparsity = Sparsity(share=0.5, pattern="structured", scope=scope)
    Pruning(found, TINY, sparsity, last_step=10).after_step(10)
    after = found.state_dict()
    assert pruning.widths(after, TINY) == {"heads": heads, "neurons": neurons}
    for layer in ("bert.encoder.layer.0.", "bert.encoder.layer.1."):
        for writers, reader in (
            ([f"attention.self.{name}" for name in ("query", "key", "value")], "attention.output"),
            (["intermediate.dense"], "output"),
        ):
            kept = after[f"{layer}{reader}.dense.weight"].any(0)
            expected = {f"{layer}{reader}.dense.weight": kept[None]}
            expected |= {f"{layer}{name}.weight": kept[:, None] for name in writers}
            expected |= {f"{layer}{name}.bias": kept for name in writers}
            for name, mask in expected.items():
                assert torch.equal(after[name], dense.pop(name) * mask), name
    assert all(torch.equal(after[name], one) for name, one in dense.items())


@pytest.mark.parametrize(("scope", "share", "most"), [("layer", 0.8, "0.5"), ("global", 0.9, "0.75")])
def test_a_share_that_leaves_no_head_is_refused(scope: str, share: float, most: str) -> None:
    with pytest.raises(UsageError, match=rf"leaves one of .* heads, found {share}. Type: --sparsity {most}$"):
        Sparsity(share=share, pattern="structured", scope=scope).require_fit(TINY)
    Sparsity(share=float(most), pattern="structured", scope=scope).require_fit(TINY)


def test_the_share_grows_fast_at_first_and_then_stays() -> None:
    found = network()
    phase = Pruning(found, TINY, Sparsity(share=0.8), last_step=10)
    steps = [shares(phase, found, step)["all"] for step in range(13)]
    expected = [0.8 * (1 - (1 - min(1, step / 10)) ** 3) for step in range(13)]
    np.testing.assert_allclose(steps, expected, atol=0.02)
    assert phase.is_final and not Pruning(network(), TINY, Sparsity(share=0.8), last_step=10).is_final


def test_a_pruned_weight_that_an_optimizer_moves_is_zero_again() -> None:
    found = network()
    phase = Pruning(found, TINY, Sparsity(share=0.5), last_step=1)
    phase.after_step(1)
    before = {name: found.state_dict()[name].clone() for name in prunable(TINY)}
    with torch.no_grad():
        for one in found.parameters():
            one.add_(0.5)
    phase.after_step(2)
    for name, weight in before.items():
        assert ((found.state_dict()[name] == 0) == (weight == 0)).all()


def test_what_is_written_has_the_weights_alone() -> None:
    found = network()
    names = set(found.state_dict())
    phase = Pruning(found, TINY, Sparsity(share=0.5), last_step=1)
    assert set(phase.exported(found.state_dict())) == names < set(found.state_dict())


@pytest.mark.parametrize("size", ["hidden_size", "intermediate_size"])
def test_widths_that_blocks_do_not_divide_are_refused(size: str) -> None:
    config = replace(TINY, **{size: 18})  # type: ignore[arg-type]  # a size by its name
    with pytest.raises(UsageError, match=f"{size} that blocks of 4 divide, found 18"):
        Sparsity(share=0.5).require_fit(config)
