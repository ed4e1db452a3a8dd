"""Weights on disk: what is read, and the error for each broken file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from small_bert import SMALL, random_tensors, write_model

from backends.bert.checkpoints import find_model, read_tensors
from backends.errors import BackendError


@pytest.fixture
def directory(model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir, tmp_path / "model"))


def as_torch_file(directory: Path, tensors: dict[str, np.ndarray]) -> Path:
    (directory / "model.safetensors").unlink()
    path = directory / "pytorch_model.bin"
    torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, path)
    return path


def test_safetensors_and_pytorch_files_hold_the_same(directory: Path) -> None:
    tensors = read_tensors(find_model(str(directory)))
    as_torch_file(directory, tensors)
    again = read_tensors(find_model(str(directory)))
    assert list(again) == list(SMALL.shapes())
    for name, tensor in again.items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_half_precision_old_names_and_unused_parts_are_accepted(directory: Path) -> None:
    tensors = random_tensors(SMALL, 1)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    extra = {"bert.pooler.dense.weight": np.zeros((64, 64)), "bert.embeddings.position_ids": np.zeros((1, 512))}
    save_file({name: t.astype(np.float16) for name, t in (old | extra).items()}, directory / "model.safetensors")
    for name, tensor in read_tensors(find_model(str(directory))).items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, tensors[name].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_a_file_cut_short_is_named(directory: Path, form: str, share: float) -> None:
    path = directory / "model.safetensors"
    if form == "torch":
        path = as_torch_file(directory, random_tensors(SMALL, 1))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BackendError, match=path.name):
        read_tensors(find_model(str(directory)))


def test_a_torch_file_cannot_run_code(directory: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    (directory / "model.safetensors").unlink()
    torch.save({"bert": Trap()}, directory / "pytorch_model.bin")
    with pytest.raises(BackendError):
        read_tensors(find_model(str(directory)))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["qa_outputs.bias", "bert.encoder.layer.2.output.dense.weight"])
def test_a_missing_tensor_is_named(directory: Path, name: str) -> None:
    tensors = random_tensors(SMALL, 1)
    del tensors[name]
    write_model(directory, SMALL, tensors)
    with pytest.raises(BackendError, match=name):
        read_tensors(find_model(str(directory)))


def test_a_tensor_of_another_shape_is_named(directory: Path) -> None:
    name = "bert.embeddings.word_embeddings.weight"
    write_model(directory, SMALL, random_tensors(SMALL, 1) | {name: np.zeros((7, 64), np.float32)})
    with pytest.raises(BackendError, match=rf"{name}.*\(300, 64\).*\(7, 64\)"):
        read_tensors(find_model(str(directory)))


def test_an_unknown_tensor_is_named(directory: Path) -> None:
    write_model(directory, SMALL, random_tensors(SMALL, 1) | {"classifier.weight": np.zeros((2, 64), np.float32)})
    with pytest.raises(BackendError, match=r"classifier\.weight"):
        read_tensors(find_model(str(directory)))


@pytest.mark.parametrize(
    ("change", "word"),
    [({"model_type": "roberta"}, "roberta"), ({"hidden_act": "relu"}, "relu"), ({"hidden_size": None}, "hidden_size")],
)
def test_a_config_of_another_model_is_refused(directory: Path, change: dict[str, str | None], word: str) -> None:
    path = directory / "config.json"
    data = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}), encoding="utf-8")
    with pytest.raises(BackendError, match=word):
        find_model(str(directory))


@pytest.mark.parametrize("spec", ["nowhere", "random:bert-huge", "", "vocab.txt"])
def test_a_path_without_a_model_is_refused_with_a_hint(spec: str) -> None:
    with pytest.raises(BackendError, match="random:bert-large"):
        find_model(spec)
