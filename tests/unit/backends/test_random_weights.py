"""Random weights of a geometry, dense or pruned: by name, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from backends.bert import layer_widths
from backends.bert.checkpoints import find_model
from backends.bert.config import SOURCES, BertConfig
from backends.bert.layer_widths import HEADS_READER, NEURONS_READER
from backends.errors import BackendError
from backends.formats import random_weights
from backends.pytorch_cpu import weight_zeros
from foundation.arrays import Float32

SMALL = BertConfig(vocab_size=50, hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=256)
NAME = "bert.encoder.layer.0.intermediate.dense.weight"  # [256, 64]


def inner(spec: str) -> Float32:
    return random_weights.weights(spec, SMALL).tensors[NAME]


@pytest.mark.parametrize("pattern", random_weights.BLOCKS)
def test_blocks_of_the_pattern_are_zero_and_the_others_are_the_dense_weights(pattern: str) -> None:
    spec = f"random:bert-tiny?sparsity=0.8,pattern={pattern}"
    pruned, dense = inner(spec), inner("random:bert-tiny")
    rows, columns = random_weights.BLOCKS[pattern]
    blocks = pruned.reshape(256 // rows, rows, 64 // columns, columns).transpose(0, 2, 1, 3)
    zero = (blocks == 0).all((2, 3))
    assert abs(zero.mean() - 0.8) < 0.02
    assert np.array_equal(pruned != 0, np.repeat(np.repeat(~zero, rows, 0), columns, 1))
    assert np.array_equal(pruned[pruned != 0], dense[pruned != 0])
    assert np.array_equal(pruned, inner(spec))


@pytest.mark.parametrize(("share", "heads", "neurons"), [(0.5, 1, 128), (0.2, 2, 205)])
def test_whole_heads_and_neurons_are_absent(share: float, heads: int, neurons: int) -> None:
    tensors = random_weights.weights(f"random:bert-tiny?sparsity={share},pattern=structured", SMALL).tensors
    at = SMALL.layer_name(0)
    widths = layer_widths.of(SMALL, *(tensors[at + name] for name in (HEADS_READER, NEURONS_READER)))
    assert (len(widths.heads), len(widths.neurons)) == (heads, neurons)
    for source in SOURCES["qkv"]:
        written = tensors[f"{at}{source}.weight"].reshape(2, 32, 64)
        assert np.flatnonzero(written.all((1, 2))).tolist() == np.flatnonzero(written.any((1, 2))).tolist()
        assert np.flatnonzero(written.any((1, 2))).tolist() == widths.heads.tolist()
    assert np.flatnonzero(tensors[NAME].all(1)).tolist() == widths.neurons.tolist()
    assert np.array_equal(tensors[NAME][widths.neurons], inner("random:bert-tiny")[widths.neurons])


def test_embeddings_and_head_stay_dense() -> None:
    tensors = random_weights.weights("random:bert-tiny?sparsity=0.9", SMALL).tensors
    pruned = {name for name, one in tensors.items() if one.ndim == 2 and (one == 0).any()}
    assert pruned == {name for name, one in tensors.items() if one.ndim == 2 and ".encoder." in name}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("block4", "in blocks of four inputs"), ("4x1", "in blocks of four outputs"), ("single", "in no blocks of four")],
)
def test_the_pattern_is_found_in_the_rounded_weight(pattern: str, words: str) -> None:
    weight = inner(f"random:bert-tiny?sparsity=0.8,pattern={pattern}")
    zeros = weight_zeros.of(np.rint(weight / np.abs(weight).max() * 127).astype(np.int8))
    assert (zeros.where, zeros.is_pruned) == (words, True)
    assert zeros.of_outputs == (pattern == "4x1") or pattern == "single"
    assert abs(zeros.share - 0.8) < 0.06  # counted in a few outputs


def test_a_dense_weight_is_not_pruned() -> None:
    weight = np.random.default_rng(1).integers(-127, 128, (30, 70)).astype(np.int8)
    assert not weight_zeros.of(weight).is_pruned
    assert not weight_zeros.of(weight[:3, :3]).is_pruned  # no block of four


@pytest.mark.parametrize("short", ["minilm-l12", "minilm-l6"])
def test_minilm_has_a_short_name(short: str) -> None:
    assert find_model(f"random:{short}").config == find_model(f"random:{short}-h384").config


@pytest.mark.parametrize(
    "settings",
    ["", "sparsity=1", "sparsity=-0.1", "sparsity=most", "pattern=block4", "sparsity=0.5,pattern=2x2", "a=1"],
)
def test_settings_that_make_no_sense_are_refused(settings: str) -> None:
    with pytest.raises(BackendError, match=r"expected a sparsity from 0 to below 1 .* Type such as"):
        find_model(f"random:bert-tiny?{settings}")


@pytest.mark.parametrize(
    ("name", "share", "found"),
    [("bert-tiny", 0.75, r"none of 2 .* Type: .*sparsity=0\.5,pattern=structured"), ("mobilebert", 0.5, "MobileBERT")],
)
def test_heads_that_are_not_there_cannot_be_absent(name: str, share: float, found: str) -> None:
    with pytest.raises(BackendError, match=found):
        find_model(f"random:{name}?sparsity={share},pattern=structured")


def test_the_dense_weights_of_a_name_have_not_changed() -> None:
    assert float(inner("random:bert-tiny")[0, 0]) == pytest.approx(-0.0127878981, rel=1e-6)
