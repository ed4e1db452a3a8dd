"""What a submission says of a structured model's zeros."""

from __future__ import annotations

from dataclasses import replace

from small_bert import SMALL, random_tensors

from submission.package import pruned_weights


def test_whole_heads_and_neurons_are_named() -> None:
    config = replace(SMALL, num_hidden_layers=1)  # 4 heads of 16, 160 neurons
    tensors, at = random_tensors(config, 1), config.layer_name(0)
    for name in ("query", "key", "value"):
        tensors[f"{at}attention.self.{name}.weight"][:32] = 0
    tensors[f"{at}attention.output.dense.weight"][:, :32] = 0
    tensors[f"{at}intermediate.dense.weight"][::2] = 0
    assert pruned_weights.of(config, tensors) == (
        "36.1% of the encoder's weights are zero, in blocks of four inputs; by layer 36.1%"
    )
    tensors[f"{at}output.dense.weight"][:, ::2] = 0
    assert pruned_weights.of(config, tensors) == (
        "50.0% of the encoder's weights are zero, in whole heads and neurons (heads 2 of 4, neurons 80 of 160 are "
        "left); by layer 50.0%"
    )
