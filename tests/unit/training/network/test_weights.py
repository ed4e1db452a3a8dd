"""Weights to start from, in every form that publishers have them in: all give the same network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_bundle
import torch
import transformers
from torch import Tensor

from backends.bert.config import BertConfig
from backends.errors import BackendError
from training.network import initial_weights, model_files, weights
from training.network.packed_bert import BertForPreTraining

CONFIG = BertConfig(
    vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12
)  # fmt: skip


def network(seed: int = 0, config: BertConfig = CONFIG) -> BertForPreTraining:
    torch.manual_seed(seed)
    made = BertForPreTraining(config)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def state(made: BertForPreTraining) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in made.state_dict().items()}


def ours(folder: Path, made: BertForPreTraining) -> Path:
    model_files.write_config(folder, CONFIG, "BertForPreTraining")
    model_files.write_weights(folder, made.state_dict())
    return folder


def hugging_face(folder: Path, made: BertForPreTraining) -> Path:
    model = transformers.BertForPreTraining.from_pretrained(ours(folder, made))
    model.save_pretrained(folder / "saved")
    return folder / "saved"


def nvidia(folder: Path, made: BertForPreTraining) -> Path:
    """As MLPerf's converted phase 1: wrapped, fused names, the decoder's copy, a vocabulary padded to 16."""
    found = {
        name.replace("pooler.dense.", "pooler.dense_act.").replace("transform.dense.", "transform.dense_act."): one
        for name, one in state(made).items()
    }
    words = torch.nn.functional.pad(found["bert.embeddings.word_embeddings.weight"], (0, 0, 0, 5))
    found |= {"bert.embeddings.word_embeddings.weight": words, "cls.predictions.decoder.weight": words}
    found["cls.predictions.bias"] = torch.nn.functional.pad(found["cls.predictions.bias"], (0, 5))
    torch.save({"model": {f"module.{name}": one for name, one in found.items()}}, folder / "model.ckpt-28252.pt")
    return folder / "model.ckpt-28252.pt"


def tensorflow(folder: Path, made: BertForPreTraining) -> Path:
    tensors = {name: one.numpy() for name, one in state(made).items()}
    tensorflow_bundle.write_model(folder / "model.ckpt-28252", tensors)
    return folder / "model.ckpt-28252"


@pytest.mark.parametrize("write", [ours, hugging_face, nvidia, tensorflow])
def test_every_form_gives_the_same_network(tmp_path: Path, write: Callable[[Path, BertForPreTraining], Path]) -> None:
    published, started = network(1), network(2)
    assert weights.load(started, write(tmp_path, published)) == ()
    torch.testing.assert_close(state(started), state(published), rtol=0, atol=0)


def test_heads_that_a_checkpoint_lacks_keep_their_weights(tmp_path: Path) -> None:
    encoder = {name: one for name, one in network(1).state_dict().items() if not name.startswith(("cls", "bert.pool"))}
    model_files.write_weights(tmp_path, encoder)
    started = network(2)
    before = state(started)
    kept = weights.load(started, tmp_path)
    assert {name for name in before if name not in encoder} == set(kept)
    after = state(started)
    assert all(torch.equal(after[name], before[name] if name in kept else encoder[name]) for name in after)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (replace(CONFIG, num_hidden_layers=2), "bert.encoder.layer.1"),
        (replace(CONFIG, intermediate_size=16), "intermediate.dense.weight of shape (16, 8)"),
        (replace(CONFIG, vocab_size=12), "word_embeddings.weight of shape (12, 8)"),
    ],
)
def test_a_checkpoint_of_another_geometry_is_refused(tmp_path: Path, config: BertConfig, named: str) -> None:
    with pytest.raises(BackendError) as error:
        weights.load(network(config=config), ours(tmp_path, network()))
    assert named in str(error.value)


def test_more_layers_than_the_network_has_are_refused(tmp_path: Path) -> None:
    deep = network(config=replace(CONFIG, num_hidden_layers=2))
    with pytest.raises(BackendError, match=r"tensors more, including bert\.encoder\.layer\.1"):
        weights.load(network(), tensorflow(tmp_path, deep))


def test_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="expected a checkpoint"):
        weights.load(network(), tmp_path / "model.ckpt-28252")


@pytest.mark.parametrize("what", ["a value", "the data file's end", "the index", "a type", "the data file"])
def test_a_damaged_tensorflow_checkpoint_is_refused(tmp_path: Path, what: str) -> None:
    tensors = {"bert/pooler/dense/bias": np.arange(8, dtype=np.int32 if what == "a type" else np.float32)}
    index = tensorflow_bundle.write(tmp_path / "model.ckpt", tensors)
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    if what == "a value":
        content[5] ^= 1
        data.write_bytes(content)
    elif what == "the data file's end":
        data.write_bytes(content[:-1])
    elif what == "the data file":
        data.unlink()
    elif what == "the index":
        index.write_bytes(index.read_bytes()[1:])
    with pytest.raises(BackendError, match=r"expected a checkpoint of TensorFlow, .*model\.ckpt\.index"):
        weights.read(tmp_path / "model.ckpt")


def test_initial_weights_of_pre_training_have_berts_deviation() -> None:
    made = BertForPreTraining(replace(CONFIG, hidden_size=64))
    initial_weights.bert(made, CONFIG)
    words = made.bert.embeddings.word_embeddings.weight
    assert 0.015 < words.std().item() < 0.02 and words.abs().max().item() <= 0.04
